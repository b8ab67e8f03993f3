"""What is installed is no older than what is safe: an audit without its database passes having seen nothing."""

from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

REQUIREMENTS = [
    Requirement(line)
    for name in ("", "-media", "-s3", "-telemetry")
    for line in (Path(__file__).parents[2] / f"requirements{name}.txt").read_text().splitlines()
    if line and not line.startswith(("#", "-r "))
]
SAFE = {
    "Django": "5.2.19",
    "daphne": "4.2.3",
    "autobahn": "26.7.1",
    "PyJWT": "2.14",
    "h11": "0.16",
    "Twisted": "24.7",
}


@pytest.mark.parametrize(("name", "floor"), SAFE.items())
def test_no_version_with_a_known_hole_is_installed_or_admitted(name: str, floor: str) -> None:
    assert Version(version(name)) >= Version(floor)
    (stated,) = (requirement for requirement in REQUIREMENTS if requirement.name == name)
    floor_stated = min(Version(part.version) for part in stated.specifier if part.operator == ">=")
    assert floor_stated >= Version(floor)


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_what_is_installed_is_what_is_required(requirement: Requirement) -> None:
    assert requirement.specifier.contains(version(requirement.name), prereleases=True)
