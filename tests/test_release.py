"""What a release consists of fits together: version, changelog, upgrade notes, locked packages, bill of materials."""

import json
import re
import subprocess
import sys
import tarfile

from django.conf import settings

import config
from tools import release, sbom

ROOT = settings.BASE_DIR


def test_the_files_of_a_release_fit_together():
    assert release.faults_of_files() == []


def test_the_lock_names_no_registry():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--index|--extra|--find-links", text)


def test_a_lock_that_lags_behind_is_named(monkeypatch):
    monkeypatch.setattr(sbom, "locked", lambda: {"django": ("4.2.1", [])})
    faults = release.faults_of_lock()
    assert "requirements.lock has 4.2.1 for Django>=5.2.19,<5.3: make lock." in faults
    assert "requirements.lock: django has no hash." in faults


def test_the_bill_of_materials_names_every_locked_package_once_and_is_the_same_twice(tmp_path):
    for name in ("one.json", "two.json"):
        subprocess.run([sys.executable, "-m", "tools.sbom", str(tmp_path / name)], cwd=ROOT, check=True)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    bill = json.loads((tmp_path / "one.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["version"] == config.VERSION
    names = [component["name"] for component in bill["components"]]
    assert sorted(names) == sorted(sbom.locked())
    assert {"django", "pyjwt", "channels"} <= set(names)
    assert all(component["purl"].startswith("pkg:pypi/") for component in bill["components"])
    assert sum("licenses" in component for component in bill["components"]) > 0.8 * len(names)


def test_a_release_is_an_archive_of_the_commit_with_its_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(release, "ROOT", tmp_path)
    monkeypatch.setattr(release, "git", lambda *words: _git(*words))
    monkeypatch.setattr(release.subprocess, "run", _run_at_home(release.subprocess.run))
    archive, materials, digests = release.build()
    with tarfile.open(archive) as tar:
        assert f"alviar-{config.VERSION}/manage.py" in tar.getnames()
    assert materials.exists()
    assert digests.read_text().count("\n") == 2


def _git(*words):
    return subprocess.check_output(["git", *words], cwd=ROOT, text=True).strip()


def _run_at_home(run):
    return lambda *args, **more: run(*args, **{**more, "cwd": ROOT})
