"""Background tasks: Django's Tasks API on the database, with leases, retries and daily tasks.

A task's row is committed with the change that enqueues it. While a task runs, its row's `run_after` is a lease, which
the worker extends; once it has passed (the worker was killed), any worker may take the task. A task may therefore run
twice and must be idempotent. Failures are retried after 10 s, 20 s, 40 s …, eight attempts in all.

    @task()
    def send(user_id: int) -> None: ...

    send.enqueue(user.pk)      # inside the transaction
    task(queue_name="push")    # tasks that call external services have separate threads
    daily(report)              # in AppConfig.ready(): a task without arguments, once a day
"""

import os
import random
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import close_old_connections, connections, transaction
from django_tasks import TaskContext, task
from django_tasks.base import Task
from django_tasks.signals import task_finished, task_started
from django_tasks_db.backend import DatabaseBackend as _DatabaseBackend

from common import purging, shared_clock
from common.metrics import TASK_SECONDS, TASKS_RUN
from common.postgresql import partitions

log = structlog.get_logger(__name__)

LEASE_SECONDS = 30
ATTEMPTS = 8
FIRST_RETRY_SECONDS = 10
RETRY_SECONDS_MAX = 3_600
POLL_SECONDS = 1.0
REAP_SECONDS = 5.0
DAILY = timedelta(hours=24)

_wake = threading.Condition()
_woken = 0
_daily: list[Task] = []


class GiveUp(Exception):
    """Raised by a task that must not be retried."""


class DatabaseBackend(_DatabaseBackend):
    """django-tasks-db's backend, which also wakes this process's workers when the row is committed."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result: Any = super().enqueue(task, args, kwargs)
        transaction.on_commit(wake)
        return result


def wake() -> None:
    """Wake the workers of this process now instead of at their next poll."""
    global _woken
    with _wake:
        _woken += 1
        _wake.notify_all()


def daily(task: Task) -> Task:
    """Register `task` to be enqueued once in 24 hours, by whichever worker is first."""
    if all(known.module_path != task.module_path for known in _daily):
        _daily.append(task)
    return task


@daily
@task()
def purge_expired() -> None:
    """Run all registered purges, like `manage.py purge_expired`."""
    for purge in purging.registered():
        while purge.batch(purging.BATCH_ROWS):
            pass


@daily
@task()
def look_ahead_in_partitions() -> None:
    """Make the partitions of the next months, where tables are parted by month."""
    partitions.look_ahead_everywhere()


def old_results() -> Any:
    """Return tasks that finished more than `TASK_RETENTION_DAYS` ago."""
    from django_tasks_db.models import DBTaskResult

    before = shared_clock.now() - timedelta(days=settings.TASK_RETENTION_DAYS)
    return DBTaskResult.objects.finished().filter(finished_at__lt=before)


purging.register("task results", purging.delete_batch(old_results))


def retry_after_s(attempt: int) -> float:
    """Return the seconds to wait after the `attempt`-th failure: doubled each time, plus up to a tenth of jitter."""
    return min(FIRST_RETRY_SECONDS * 2 ** (attempt - 1), RETRY_SECONDS_MAX) * random.uniform(1, 1.1)  # noqa: S311


class Worker:
    """Runs tasks until `stop` is set. Any number of workers may run, in any number of processes."""

    def __init__(self, *, looks_after: bool = True, queue: str = "default") -> None:
        """Create a worker. `looks_after`: it also reaps tasks of killed workers and enqueues the daily tasks."""
        self.looks_after = looks_after
        self.queue = queue
        self.stop = threading.Event()
        self._reaped_at = self._daily_at = float("-inf")

    def run(self) -> None:
        """Run tasks until stopped; database errors are waited out."""
        pause = POLL_SECONDS
        while not self.stop.is_set():
            woken = _woken
            try:
                close_old_connections()
                if self.looks_after:
                    self._look_after()
                if self.run_one():
                    continue
                pause = POLL_SECONDS
            except Exception as error:
                # Locked, restarted or down: if the worker ended here, mails would never be sent.
                log.warning("tasks.database_away", error=type(error).__name__, retry_s=pause)
                _close_connections()
                pause = min(pause * 2, 15)
            with _wake:
                _wake.wait_for(lambda seen=woken: _woken != seen or self.stop.is_set(), pause)  # type: ignore[misc]
        _close_connections()

    def run_one(self) -> bool:
        """Claim and run one task that is due; return whether there was one."""
        row = self._claim()
        if row is None:
            return False
        sender: Any = DatabaseBackend
        started = time.perf_counter()
        try:
            with _lease_kept(row):
                todo: Any = row.task
                sender = type(todo.get_backend())
                task_started.send(sender=sender, task_result=row.task_result)
                arguments = row.args_kwargs["args"], row.args_kwargs["kwargs"]
                context = [TaskContext(task_result=row.task_result)] if todo.takes_context else []
                value = todo.call(*context, *arguments[0], **arguments[1])
        except BaseException as error:
            self._failed(row, error, sender)
            if not isinstance(error, Exception):
                raise
            return True
        with _row_still_ours(row) as ours:
            if ours:
                row.set_successful(value)
        task_finished.send(sender=sender, task_result=row.task_result)
        TASKS_RUN.labels(row.task_path, "done").inc()
        TASK_SECONDS.observe(time.perf_counter() - started)
        log.info("tasks.done", task=row.task_path, id=str(row.id), ms=round((time.perf_counter() - started) * 1000))
        return True

    def _claim(self) -> Any:
        from django_tasks_db.models import DBTaskResult

        due = DBTaskResult.objects.ready().filter(backend_name="default", queue_name=self.queue)
        if not due.exists():  # avoids taking SQLite's write lock below every second
            return None
        with transaction.atomic():
            row = due.get_locked()
            if row is not None:
                # Every claim has a unique id, so that a late worker cannot finish a task that another has taken over.
                row.run_after = shared_clock.now() + timedelta(seconds=LEASE_SECONDS)
                row.save(update_fields=["run_after"])
                row.claim(f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:12]}")
        return row

    def _failed(self, row: Any, error: BaseException, sender: Any) -> None:
        with _row_still_ours(row) as ours:
            if not ours:
                return
            again = _release(row, error)
        TASKS_RUN.labels(row.task_path, "retry" if again else "failed").inc()
        if again:
            log.warning("tasks.retry", task=row.task_path, id=str(row.id), error=type(error).__name__)
        else:
            log.error("tasks.failed", task=row.task_path, id=str(row.id), exc_info=error)
            task_finished.send(sender=sender, task_result=row.task_result)

    def _look_after(self) -> None:
        now = time.monotonic()
        if now - self._reaped_at >= REAP_SECONDS:
            self._reaped_at = now
            shared_clock.synchronise()
            reap()
        if now - self._daily_at >= 600:
            self._daily_at = now
            enqueue_daily()


def _release(row: Any, error: BaseException | None) -> bool:
    """Schedule a retry, or fail the task after its last attempt; return whether it is retried."""
    from django_tasks import TaskResultStatus

    attempt = len(row.worker_ids)
    again = attempt < ATTEMPTS and not isinstance(error, GiveUp)
    now = shared_clock.now()
    if again:
        row.status = TaskResultStatus.READY
        row.run_after = now + timedelta(seconds=retry_after_s(attempt) if error else 0)
    else:
        row.status, row.finished_at = TaskResultStatus.FAILED, now
    if error is not None:
        # Stack frames and class, but not the message, which may contain an address or a secret.
        row.exception_class_path = f"{type(error).__module__}.{type(error).__qualname__}"
        row.traceback = "".join(traceback.format_tb(error.__traceback__))
    row.save(update_fields=["status", "run_after", "finished_at", "exception_class_path", "traceback"])
    return again


def reap() -> int:
    """Release the tasks of killed workers; return how many."""
    from django_tasks_db.models import DBTaskResult

    left = DBTaskResult.objects.running().filter(run_after__lt=shared_clock.now())
    if not left.exists():
        return 0
    with transaction.atomic():
        rows = list(left.select_for_update(skip_locked=True))
        for row in rows:
            again = _release(row, None)
            log.warning("tasks.lease_ended", task=row.task_path, id=str(row.id), again=again)
    return len(rows)


def enqueue_daily() -> None:
    """Enqueue the daily tasks that were not enqueued within the last 24 hours."""
    from django_tasks_db.models import DBTaskResult

    for todo in _daily:
        since = shared_clock.now() - DAILY
        if not DBTaskResult.objects.filter(task_path=todo.module_path, enqueued_at__gt=since).exists():
            todo.enqueue()


@contextmanager
def _row_still_ours(row: Any) -> Iterator[bool]:
    """Lock the row and yield whether our claim is still the current one."""
    with transaction.atomic():
        current = type(row).objects.select_for_update().filter(pk=row.pk).first()
        yield current is not None and current.status == row.status and current.worker_ids == row.worker_ids


@contextmanager
def _lease_kept(row: Any) -> Iterator[None]:
    """Extend the lease while the block runs, from a thread that is only started for longer tasks."""
    done = threading.Event()

    def keep() -> None:
        while not done.wait(LEASE_SECONDS / 3):
            until = shared_clock.now() + timedelta(seconds=LEASE_SECONDS)
            try:
                type(row).objects.filter(pk=row.pk, worker_ids=row.worker_ids).update(run_after=until)
            except Exception as error:
                log.warning("tasks.lease_not_kept", error=type(error).__name__)
        _close_connections()

    keeper = threading.Timer(LEASE_SECONDS / 3, keep)
    keeper.daemon = True
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.cancel()


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


class WorkerThreads:
    """Worker threads in this process: `TASK_THREADS` for the default queue and `PUSH_THREADS` for `push`."""

    def __init__(self) -> None:
        self.workers = [
            *(Worker(looks_after=n == 0) for n in range(settings.TASK_THREADS)),
            *(Worker(looks_after=False, queue="push") for _ in range(settings.PUSH_THREADS)),
        ]
        self.threads = [
            threading.Thread(target=worker.run, name=f"tasks-{worker.queue}-{n}", daemon=True)
            for n, worker in enumerate(self.workers)
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self, *, within_s: float) -> None:
        """Let running tasks finish; one that takes longer is taken over by another worker when its lease ends."""
        for worker in self.workers:
            worker.stop.set()
        wake()
        deadline = time.monotonic() + within_s
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))


_in_this_process: list[WorkerThreads] = []


async def start_in_process() -> None:
    """Start the workers of the embedded server (a lifespan hook)."""
    if settings.TASKS_IN_PROCESS and not _in_this_process:
        _in_this_process.append(WorkerThreads())
        _in_this_process[0].start()


async def stop_in_process() -> None:
    import asyncio

    while _in_this_process:
        await asyncio.to_thread(partial(_in_this_process.pop().stop, within_s=settings.DRAIN_SECONDS))
