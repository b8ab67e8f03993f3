"""Tasks survive what happens to their worker."""

import threading
import time
from datetime import timedelta

import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_tasks import TaskResultStatus, task
from django_tasks_db.models import DBTaskResult

from common import tasks

ran: list[object] = []
errors: list[Exception] = []


@task()
def note(value):
    if errors:
        raise errors.pop(0)
    ran.append(value)


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()
    errors.clear()


@pytest.fixture
def worker():
    return tasks.Worker()


def only_row():
    return DBTaskResult.objects.get()


def test_a_task_of_a_rolled_back_change_never_runs(db, worker):
    with transaction.atomic():
        note.enqueue("never")
        transaction.set_rollback(True)
    assert not worker.run_one()
    assert ran == []


def test_a_task_runs_once(db, worker):
    note.enqueue("once")
    assert worker.run_one()
    assert not worker.run_one()
    assert ran == ["once"]
    assert only_row().status == TaskResultStatus.SUCCESSFUL


def test_a_failed_task_is_tried_again_later_and_later(db, worker):
    errors.extend(ValueError("smtp said 451") for _ in range(2))
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        note.enqueue("mail")
        assert worker.run_one()
        assert not worker.run_one()
        clock.shift(12)
        assert worker.run_one()
        clock.shift(12)
        assert not worker.run_one(), "the second pause is 20 s"
        clock.shift(12)
        assert worker.run_one()
    assert ran == ["mail"]
    assert only_row().status == TaskResultStatus.SUCCESSFUL


def test_after_the_eighth_failure_a_task_has_failed(db, worker):
    errors.extend(ValueError("no") for _ in range(20))
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        note.enqueue("mail")
        tries = 0
        for _ in range(20):
            tries += worker.run_one()
            clock.shift(4_000)
    assert tries == tasks.ATTEMPTS == 8
    row = only_row()
    assert row.status == TaskResultStatus.FAILED
    assert row.exception_class_path == "builtins.ValueError"


def test_what_an_exception_says_is_not_stored(db, worker):
    errors.append(ValueError("token=8d1f"))
    note.enqueue("mail")
    worker.run_one()
    assert "8d1f" not in only_row().traceback
    assert "test_tasks.py" in only_row().traceback


def test_a_task_that_gives_up_is_not_tried_again(db, worker):
    errors.append(tasks.GiveUp())
    note.enqueue("mail")
    worker.run_one()
    assert only_row().status == TaskResultStatus.FAILED


def test_the_task_of_a_killed_worker_is_taken_up_once_its_lease_has_ended(db, worker):
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        note.enqueue("mail")
        assert worker._claim() is not None  # and the worker is gone
        assert tasks.reap() == 0
        assert not worker.run_one()
        clock.shift(tasks.LEASE_SECONDS + 1)
        assert tasks.reap() == 1
        assert worker.run_one()
    assert ran == ["mail"]


def test_a_host_whose_clock_is_ahead_does_not_take_the_tasks_of_others(db, worker, host_ahead):
    note.enqueue("mail")
    assert worker._claim() is not None
    with host_ahead(seconds=90):
        assert tasks.reap() == 0


def test_a_task_that_kills_every_worker_ends_as_failed(db, worker):
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        note.enqueue("bomb")
        for _ in range(tasks.ATTEMPTS):
            assert worker._claim() is not None
            clock.shift(tasks.LEASE_SECONDS + 1)
            tasks.reap()
    assert only_row().status == TaskResultStatus.FAILED


def test_a_late_worker_does_not_speak_for_the_one_that_took_over(db, worker):
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        note.enqueue("mail")
        late = worker._claim()
        clock.shift(tasks.LEASE_SECONDS + 1)
        tasks.reap()
        assert worker._claim() is not None
        worker._failed(late, ValueError(), tasks.DatabaseBackend)
        assert only_row().status == TaskResultStatus.RUNNING


def test_a_long_task_keeps_its_lease(transactional_db, worker, monkeypatch):
    monkeypatch.setattr(tasks, "LEASE_SECONDS", 0.3)
    note.enqueue("long")
    row = worker._claim()
    first = row.run_after
    with tasks._lease_kept(row):
        deadline = time.monotonic() + 60
        while only_row().run_after == first and time.monotonic() < deadline:
            threading.Event().wait(0.02)
    assert only_row().run_after > first


@pytest.mark.django_db(transaction=True)
def test_the_worker_wakes_at_commit_and_outlives_a_locked_database(monkeypatch):
    worker = tasks.Worker()
    failing = [OperationalError("database is locked")] * 2
    claim = worker._claim

    def locked_twice():
        if failing:
            raise failing.pop()
        return claim()

    monkeypatch.setattr(worker, "_claim", locked_twice)
    monkeypatch.setattr(tasks, "POLL_SECONDS", 0.05)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        note.enqueue("mail")
        deadline = time.monotonic() + 60
        while not ran and time.monotonic() < deadline:
            threading.Event().wait(0.02)
    finally:
        worker.stop.set()
        tasks.wake()
        thread.join(60)
    assert ran == ["mail"]
    assert not failing


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_task():
    for n in range(40):
        note.enqueue(n)

    def work():
        worker = tasks.Worker()
        while worker.run_one():
            pass
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ran) == list(range(40))


def test_daily_tasks_are_enqueued_once_a_day(db):
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        tasks.enqueue_daily()
        count = DBTaskResult.objects.count()
        assert count >= 1
        tasks.enqueue_daily()
        assert DBTaskResult.objects.count() == count
        clock.shift(86_401)
        tasks.enqueue_daily()
        assert DBTaskResult.objects.count() == 2 * count


def test_old_results_are_pruned_and_waiting_tasks_are_not(db, worker, run_tasks):
    note.enqueue("done")
    worker.run_one()
    DBTaskResult.objects.update(finished_at=timezone.now() - timedelta(days=8))
    note.enqueue("waiting")
    tasks.purge_expired.call()
    assert [row.args_kwargs["args"] for row in DBTaskResult.objects.all()] == [["waiting"]]
