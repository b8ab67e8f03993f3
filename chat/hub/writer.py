"""Group commit: one thread stores all messages that arrived while the last transaction committed."""

import asyncio
import queue
import threading
import time
from collections.abc import Callable

import structlog
from django.db import close_old_connections

from chat.services import sending
from chat.services.sending import Outcome, Send
from common import database_time, outages
from common.errors import TemporarilyUnavailable
from common.metrics import WRITER_BATCH, WRITER_QUEUE, WRITER_SECONDS

log = structlog.get_logger(__name__)

BATCH = 256
QUEUE = 10_000

Done = Callable[[Outcome], None]


class Writer:
    """Accepts messages on the event loop, stores them on its thread, and reports on the loop in the same order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.queue: queue.SimpleQueue[tuple[Send, Done] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="chat-writer", daemon=True)
        self.thread.start()

    def submit(self, send: Send, done: Done) -> None:
        """Queue the message; `done` is called on the loop after its commit or refusal."""
        if self.queue.qsize() >= QUEUE:
            done(TemporarilyUnavailable(retry_after=2))
        else:
            self.queue.put((send, done))

    def stop(self) -> None:
        """Stop after the queued messages are stored."""
        self.queue.put(None)

    def _run(self) -> None:
        running = True
        while running:
            batch = [self.queue.get()]
            while len(batch) < BATCH:
                try:
                    batch.append(self.queue.get_nowait())
                except queue.Empty:
                    break
            running = None not in batch
            taken = [one for one in batch if one is not None]
            if taken:
                self._store([send for send, _done in taken], [done for _send, done in taken])

    def _store(self, sends: list[Send], answers: list[Done]) -> None:
        close_old_connections()
        started = time.perf_counter()
        try:
            with database_time.limited():
                outcomes = sending.store(sends)
        except Exception as error:
            log.exception("writer.failed")
            outcomes = [error] * len(sends)
        finally:
            close_old_connections()
        WRITER_SECONDS.observe(time.perf_counter() - started)
        WRITER_BATCH.observe(len(sends))
        WRITER_QUEUE.set(self.queue.qsize())
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not hasattr(outcome, "code"):
                outages.note("writer.refused", outcome)
        try:
            self.loop.call_soon_threadsafe(_answer, answers, outcomes)
        except RuntimeError:  # the loop is gone: so are the sockets
            return


def _answer(answers: list[Done], outcomes: list[Outcome]) -> None:
    for done, outcome in zip(answers, outcomes, strict=True):
        try:
            done(outcome)
        except Exception:
            log.exception("writer.answer_failed")
