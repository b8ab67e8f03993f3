"""Batching of calls to the database and Redis: concurrent callers share one round trip."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

import structlog

from chat import database
from common import outages

log = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

BATCH = 64  # larger batches would delay their first calls


class Together(Generic[T, R]):
    """Batches the calls that arrive while the last batch runs, like the writer does. Used on the event loop.

    `work` runs on a database thread and returns one result per call, in order; a result may be an exception.
    `late` gets results that nobody waits for any more.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
        *,
        late: Callable[[T, R], None] | None = None,
        at_most: int = BATCH,
    ) -> None:
        self.work, self.spawn, self.late, self.at_most = work, spawn, late, at_most
        self.waiting: list[tuple[T, asyncio.Future[R] | None]] = []
        self.is_running = False

    def ask(self, one: T) -> "asyncio.Future[R]":
        """Add a call and return the future of its result."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._add(one, future)
        return future

    def tell(self, one: T) -> None:
        """Add a call without waiting for its result."""
        self._add(one, None)

    def _add(self, one: T, future: "asyncio.Future[R] | None") -> None:
        self.waiting.append((one, future))
        if not self.is_running:
            self.is_running = True
            self.spawn(self._run())  # in the next turn of the loop, when all who came in this one have asked

    async def _run(self) -> None:
        try:
            while self.waiting:
                batch, self.waiting = self.waiting[: self.at_most], self.waiting[self.at_most :]
                batch = [(one, future) for one, future in batch if future is None or not future.done()]
                if not batch:
                    continue
                try:
                    answers = await database.run(self._answers, [one for one, _future in batch])
                except Exception as error:
                    answers = [error] * len(batch)
                for (one, future), answer in zip(batch, answers, strict=True):
                    self._give(one, future, answer)
        finally:
            self.is_running = False

    def _answers(self, batch: list[T]) -> Sequence[R | Exception]:
        """Run a batch on a database thread; if it fails as a whole, run each call by itself."""
        try:
            return self.work(batch)
        except Exception as error:
            if len(batch) == 1 or outages.is_outage(error):  # each by itself would fail as well, and take as long
                return [error] * len(batch)
        return [self._answers([one])[0] for one in batch]

    def _give(self, one: T, future: "asyncio.Future[R] | None", answer: R | Exception) -> None:
        if future is None or future.done():
            if isinstance(answer, Exception):
                outages.note("hub.work_failed", answer)
            elif self.late is not None:
                self.late(one, answer)
        elif isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
