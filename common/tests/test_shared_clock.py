"""Hosts whose clocks are apart agree on leases, presence and the grace of a rotation: all follow the database's."""

import time as local
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from common import shared_clock

DATABASE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_clock, "_offset", 0.0)


@pytest.mark.parametrize("ahead", [90, -90, 7200], ids=["ahead", "behind", "another zone"])
def test_a_host_whose_clock_is_wrong_has_the_time_of_the_database(ahead: int) -> None:
    with time_machine.travel(DATABASE + timedelta(seconds=ahead), tick=False):
        shared_clock.compare(DATABASE, asked_at=local.time())
        assert shared_clock.now() == DATABASE
        assert shared_clock.time() == DATABASE.timestamp()


def test_a_well_kept_clock_is_left_alone() -> None:
    with time_machine.travel(DATABASE + timedelta(milliseconds=900), tick=False):
        shared_clock.compare(DATABASE, asked_at=local.time())
        assert shared_clock.now() == timezone.now()


def test_a_slow_answer_does_not_move_the_clock() -> None:
    with time_machine.travel(DATABASE, tick=False) as clock:
        asked_at = local.time()
        clock.shift(4)  # the answer took 4 s, and the database looked at its clock at the end of them
        shared_clock.compare(DATABASE + timedelta(seconds=4), asked_at=asked_at)
        assert shared_clock.now() == timezone.now()


def test_a_clock_that_is_set_right_is_trusted_again() -> None:
    with time_machine.travel(DATABASE + timedelta(seconds=90), tick=False):
        shared_clock.compare(DATABASE, asked_at=local.time())
    with time_machine.travel(DATABASE + timedelta(seconds=2), tick=False):
        shared_clock.compare(DATABASE + timedelta(seconds=2), asked_at=local.time())
        assert shared_clock.now() == timezone.now()


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_database_is_asked() -> None:
    with time_machine.travel(local.time() + 90, tick=True):
        shared_clock.synchronise()
        assert timezone.now() - shared_clock.now() > timedelta(seconds=80)
