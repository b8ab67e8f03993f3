"""Write the bill of materials of a release: CycloneDX 1.5, from `requirements.lock` and `client/package-lock.json`.

    python -m tools.sbom [FILE]
The same inputs make the same bytes. Licences come from the installed packages' own metadata.
"""

import json
import re
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import config

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def locked() -> dict[str, tuple[str, list[str]]]:
    """Return name -> (version, SHA-256 of its files) of every package in `requirements.lock`."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if pin := PIN.match(line):
            name = pin[1].lower()
            found[name] = (pin[2], [])
        if name:
            found[name][1].extend(HASH.findall(line))
    return found


def licences_of(name: str) -> list[dict[str, Any]]:
    try:
        facts = metadata.metadata(name)
    except metadata.PackageNotFoundError:  # for another platform
        return []
    expression = facts.get("License-Expression")
    if expression:
        return [{"expression": expression}]
    known = [line.rpartition(" :: ")[2] for line in facts.get_all("Classifier", []) if line.startswith("License ::")]
    return [{"license": {"name": one}} for one in known]


def components() -> list[dict[str, Any]]:
    found = []
    for name, (version, hashes) in locked().items():
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "purl": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "scope": "required",
        }
        if len(hashes) == 1:  # several are several files: none of them is the component's
            component["hashes"] = [{"alg": "SHA-256", "content": hashes[0]}]
        if licences := licences_of(name):
            component["licenses"] = licences
        found.append(component)
    return sorted(found, key=lambda one: one["bom-ref"])


def bill() -> dict[str, Any]:
    ours = f"pkg:generic/alviar@{config.VERSION}"
    parts = components()
    serial = uuid.uuid5(uuid.NAMESPACE_URL, ours + json.dumps(parts, sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": "alviar",
                "version": config.VERSION,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": parts,
        "dependencies": [{"ref": ours, "dependsOn": [one["bom-ref"] for one in parts]}],
    }


def main() -> None:
    text = json.dumps(bill(), indent=2, ensure_ascii=False) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
        Path(sys.argv[1]).write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
