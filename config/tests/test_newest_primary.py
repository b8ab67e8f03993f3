"""Which PostgreSQL `deploy/primary.py` says may be written to, by what servers say; test_failover.py has real ones."""

import json
import runpy
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = runpy.run_path(str(Path(__file__).resolve().parents[2] / "deploy" / "primary.py"))
Watch, Reading = PROGRAM["Watch"], PROGRAM["Reading"]
STANDBY = 0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "newest.json"


def watch(state: Path, **timelines: int) -> Any:
    made = Watch(["one", "two"], state)
    hear(made, **timelines)
    return made


def hear(watch: Any, *, seconds_ago: float = 0, **timelines: int) -> None:
    for name, timeline in timelines.items():
        watch.heard(name, Reading(timeline, time.monotonic() - seconds_ago))


def led_to(watch: Any) -> list[str]:
    return [name for name in watch.names if watch.may_be_written_to(name)]


def test_the_one_primary_is_led_to(state: Path) -> None:
    assert led_to(watch(state, one=1, two=STANDBY)) == ["one"]


def test_nobody_is_led_anywhere_before_every_server_has_answered_once(state: Path) -> None:
    made = watch(state, one=1)
    assert led_to(made) == []
    hear(made, two=2, one=1)
    assert led_to(made) == ["two"]


def test_the_promoted_one_is_led_to_and_the_old_one_never_again(state: Path) -> None:
    made = watch(state, one=1, two=STANDBY)
    hear(made, two=2)
    assert led_to(made) == ["two"]
    hear(made, one=1)
    assert led_to(made) == ["two"]
    hear(made, two=2, seconds_ago=60)  # the new one is gone
    assert led_to(made) == []


def test_what_is_known_outlives_the_program(state: Path) -> None:
    hear(watch(state, one=1, two=STANDBY), two=2)
    assert json.loads(state.read_text()) == {"timeline": 2, "server": "two"}
    assert led_to(watch(state, one=1)) == []
    assert led_to(watch(state, two=2)) == ["two"]


def test_it_is_written_down_before_anybody_is_led_there(state: Path) -> None:
    made = watch(state / "no such folder")
    with pytest.raises(OSError, match="no such folder"):
        hear(made, one=1, two=STANDBY)
    assert led_to(made) == []


def test_a_second_primary_of_the_same_timeline_is_refused(state: Path) -> None:
    made = watch(state, one=2, two=STANDBY)
    hear(made, two=2)
    assert led_to(made) == ["one"]


def test_of_two_that_are_the_newest_at_once_neither_is_led_to_until_one_is_a_standby(state: Path) -> None:
    made = watch(state, one=2, two=2)
    assert led_to(made) == []
    hear(made, two=STANDBY)
    assert led_to(made) == ["one"]


def test_a_server_that_stopped_answering_is_not_led_to(state: Path) -> None:
    made = watch(state, one=1, two=STANDBY)
    hear(made, one=1, seconds_ago=PROGRAM["FRESH_SECONDS"] + 1)
    assert led_to(made) == []


@pytest.mark.parametrize("kept", ["", "{}", "[]", '{"timeline": "x", "server": "one"}'], ids=range(4))
def test_a_broken_state_is_no_reason_to_guess(state: Path, kept: str) -> None:
    state.write_text(kept)
    with pytest.raises((ValueError, KeyError, TypeError)):
        watch(state)
