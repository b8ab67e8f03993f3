"""Live tests are run once more where they fail, and no others: tests/reruns.py, tried on small suites of its own."""

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pathlib
import pytest

pytestmark = pytest.mark.live
log = pathlib.Path(__file__).with_name("log")


def note(text):
    with log.open("a") as file:
        file.write(text + "\\n")
    return log.read_text().count(text + "\\n")


@pytest.fixture(scope="module")
def server():
    note("server starts")
    yield "server"
    note("server stops")


@pytest.fixture(scope="module")
def late():
    assert note("late starts") > 1
    yield
    note("late stops")


def test_before(server):
    note("before")


def test_fails_once(server):
    assert note("fails once") > 1


def test_whose_server_starts_late(server, late):
    note("has it")


def test_after(server, late):
    note("after")
"""


RULES = """
import collections
import pytest

count = collections.Counter()


def nth(name):
    count[name] += 1
    return count[name]


@pytest.mark.live
def test_fails_twice():
    assert nth("live") > 2


def test_in_process():
    assert nth("in process") > 1


@pytest.mark.live
@pytest.mark.promise
def test_promise():
    assert nth("promise") > 1
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with our hooks and markers, without Django and the plugins that take long to load."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    shutil.copy(Path(__file__).parent / "reruns.py", pytester.path / "conftest.py")
    pytester.makeini(
        "[pytest]\nmarkers =\n    live\n    promise\n"
        "addopts = -p xdist -p pytest_rerunfailures -p no:cacheprovider -rfER"
    )
    return pytester


@pytest.mark.parametrize("options", [(), ("-n", "2", "--dist", "loadgroup")], ids=["alone", "xdist"])
def test_a_live_test_that_fails_once_passes_on_a_new_server_and_is_named(
    suite: pytest.Pytester, options: tuple[str, ...]
) -> None:
    suite.makepyfile(test_suite=SUITE, test_rules=RULES)
    ran = suite.runpytest_subprocess(*options)
    ran.assert_outcomes(passed=4, failed=3)
    for name in ("test_fails_twice", "test_in_process", "test_promise"):
        ran.stdout.fnmatch_lines([f"FAILED *{name}*"])
    ran.stdout.fnmatch_lines(
        ["*RUN AGAIN*", "*Run again, 3: *test_fails_twice*test_fails_once*test_whose_server_starts_late*"]
    )
    log = (suite.path / "log").read_text().splitlines()
    # Each second attempt has servers of its own, and what was started is stopped once.
    assert log == [
        "server starts", "before", "fails once", "server stops", "server starts", "fails once", "late starts",
        "server stops", "server starts", "late starts", "has it", "after", "late stops", "server stops",
    ]  # fmt: skip
