"""What the parent of `make serve` decides, without processes of its own."""

from itertools import count
from types import SimpleNamespace

import pytest

from config import processes


@pytest.fixture
def parent(tmp_path, monkeypatch):
    """A parent with one server, whose processes are told instead of started."""

    def start(name, command, environment, sockets):
        assert environment["ALVIAR_METRICS_NAME"] == name
        return SimpleNamespace(name=name, pid=next(pids), ended=None, ready_fd=-1)

    pids = count(1)
    monkeypatch.setattr(processes, "Process", start)
    parent = processes.Parent(tmp_path)
    parent.facts = {"port": 0, "workers": 1, "tasks": False}
    parent.listener = SimpleNamespace(fileno=lambda: 3)
    parent._arrange()
    parent._metrics_folder.mkdir()
    return parent


def test_a_new_process_counts_under_a_name_that_no_living_one_has(parent):
    [slot] = parent.slots
    old = slot.current = slot.start()
    slot.start()  # a replacement that failed and is gone
    replacement = slot.start()
    assert replacement.name != old.name
    parent.ending[old.pid], slot.current = (old, 0.0), replacement
    gauges = parent._metrics_folder / f"gauge_livesum_{replacement.name}.db"
    gauges.touch()
    parent._forget(old)
    assert gauges.exists()


def test_what_is_started_while_the_replaced_one_still_drains_counts_for_itself(parent):
    [slot] = parent.slots
    old = slot.start()
    slot.current = slot.start()
    parent.ending[old.pid], slot.current = (old, 0.0), None  # and the replacement has died
    assert slot.start().name != old.name


def test_what_is_started_anew_after_a_crash_goes_on_counting_where_the_dead_one_stopped(parent):
    [slot] = parent.slots
    dead = slot.start()
    assert slot.start().name == dead.name
