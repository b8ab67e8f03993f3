"""Check that this commit is a release, and say how to tag it: `make release`.

Nothing is published and nothing is changed but `dist/`: the source archive, its SBOM and their digests.
"""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import config
from tools import sbom

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"\d+\.\d+\.\d+(?:rc\d+)?")


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def faults_of_files() -> list[str]:
    """Return what does not fit together in the files of a release."""
    found = []
    if not VERSION.fullmatch(config.VERSION):
        found.append(f"config/__init__.py: {config.VERSION!r} is no version such as 1.2.3.")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if not re.search(rf"^## {re.escape(config.VERSION)} - \d{{4}}-\d\d-\d\d$", changelog, re.M):
        found.append(f"CHANGELOG.md has no section `## {config.VERSION} - YYYY-MM-DD`.")
    if f"## {config.VERSION}" not in (ROOT / "docs" / "upgrading.md").read_text():
        found.append(f"docs/upgrading.md says nothing of {config.VERSION}.")
    return found + faults_of_lock()


def faults_of_lock() -> list[str]:
    """Return where `requirements.lock` does not hold what `requirements.txt` and the optional ones ask for."""
    locked = {canonicalize_name(name): version for name, (version, _) in sbom.locked().items()}
    found = []
    files = [ROOT / f"requirements{name}.txt" for name in ("", "-media", "-s3", "-telemetry")]
    for line in [line for file in files for line in file.read_text().splitlines()]:
        line = line.partition(" #")[0].strip()
        if not line or line.startswith(("#", "-")):
            continue
        wanted = Requirement(line)
        version = locked.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            found.append(f"requirements.lock has {version or 'no version'} for {line}: make lock.")
    found += [f"requirements.lock: {name} has no hash." for name, (_, hashes) in sbom.locked().items() if not hashes]
    return found


def faults_of_git() -> list[str]:
    found = []
    if git("status", "--porcelain"):
        found.append("There are changes that are not committed.")
    tag = f"v{config.VERSION}"
    if tag in git("tag", "--list", tag).splitlines() and git("rev-list", "-n1", tag) != git("rev-parse", "HEAD"):
        found.append(f"The tag {tag} is another commit: a released version never changes.")
    return found


def build() -> list[Path]:
    """Write the archive and the SBOM to `dist/`, and their digests; return the files."""
    folder = ROOT / "dist"
    folder.mkdir(exist_ok=True)
    name = f"alviar-{config.VERSION}"
    archive = folder / f"{name}.tar.gz"
    git("archive", "--format=tar.gz", f"--prefix={name}/", f"--output={archive}", "HEAD")
    materials = folder / f"{name}.cdx.json"
    subprocess.run([sys.executable, "-m", "tools.sbom", str(materials)], cwd=ROOT, check=True)
    digests = folder / "SHA256SUMS"
    files = [archive, materials]
    digests.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files))
    return [*files, digests]


def main() -> None:
    faults = [*faults_of_files(), *faults_of_git()]
    if faults:
        sys.exit("This is no release yet:\n" + "\n".join(f"- {fault}" for fault in faults))
    for file in build():
        print(file.relative_to(ROOT))  # noqa: T201
    print(f"All fits. Now: git tag --sign --message 'Alviar {config.VERSION}' v{config.VERSION}")  # noqa: T201


if __name__ == "__main__":
    main()
