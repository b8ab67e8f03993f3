"""Live tests: kept together by their server, and run once more where they fail. A plugin of pytest."""

from typing import Any

import pytest

SERVERS = ("engine", "server", "shared")  # fixtures that may live longer than a module


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the live tests that share a server in one worker (`--dist loadgroup`); run them once more where they fail.

    The machine may be busy with anything, and a live test waits for other processes. One that shows what must hold each
    time (`promise`) is never run again, nor is a test that starts no process.
    """
    if item.get_closest_marker("live"):
        names: list[str] = getattr(item, "fixturenames", [])
        item.add_marker(pytest.mark.xdist_group("shared" if "shared" in names else item.path.stem))
        if not item.get_closest_marker("promise"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stop the servers of a test that is run again: it gets new ones, whatever its first attempt did to them."""
    if getattr(item, "execution_count", 1) > 1:
        for fixtures in item._fixtureinfo.name2fixturedefs.values():  # type: ignore[attr-defined]
            for fixture in fixtures:
                if fixture.scope == "module" or fixture.argname in SERVERS:
                    fixture.finish(item._request)  # type: ignore[attr-defined]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the group into the id that xdist schedules by; what xdist 3.8 writes there is not read by pytest 9.2."""
    if config.getoption("loadgroup", False):
        for item in items:
            if (mark := item.get_closest_marker("xdist_group")) and "@" not in item.nodeid.rpartition("]")[2]:
                item._id = item._id.parse(f"{item.nodeid}@{mark.args[0]}")  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was run again, and why, where nobody can miss it."""
    if again := terminalreporter.stats.get("rerun", []):
        terminalreporter.section("RUN AGAIN: failed the first time", yellow=True, bold=True)
        for report in again:
            terminalreporter.line(f"{report.nodeid} ({report.when}):\n{report.longreprtext}")
        names = ", ".join(sorted({report.nodeid for report in again}))
        terminalreporter.line(f"Run again, {len(again)}: {names}", yellow=True, bold=True)
