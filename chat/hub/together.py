"""Work on the database and on Redis, done for all who ask at the same time: one round trip however many they are."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

import structlog

from chat import database
from common import outages

log = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

BATCH = 64  # more in one go would hold up the first of them


class Together(Generic[T, R]):
    """Hands over what was asked while the last call ran, as the writer does with messages. Belongs to the event loop.

    `work` runs on a database thread and returns one answer for each, in their order; an exception is an answer too.
    `late` gets what nobody waits for any more.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        spawn: Callable[[Coroutine[Any, Any, Any]], None],
        *,
        late: Callable[[T, R], None] | None = None,
    ) -> None:
        self.work, self.spawn, self.late = work, spawn, late
        self.waiting: list[tuple[T, asyncio.Future[R] | None]] = []
        self.is_running = False

    def ask(self, one: T) -> "asyncio.Future[R]":
        """Return the answer to come."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._add(one, future)
        return future

    def tell(self, one: T) -> None:
        """Have it done; nobody waits for it."""
        self._add(one, None)

    def _add(self, one: T, future: "asyncio.Future[R] | None") -> None:
        self.waiting.append((one, future))
        if not self.is_running:
            self.is_running = True
            self.spawn(self._run())  # in the next turn of the loop, when all who came in this one have asked

    async def _run(self) -> None:
        try:
            while self.waiting:
                batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
                try:
                    answers = await database.run(self._answers, [one for one, _future in batch])
                except Exception as error:
                    answers = [error] * len(batch)
                for (one, future), answer in zip(batch, answers, strict=True):
                    self._give(one, future, answer)
        finally:
            self.is_running = False

    def _answers(self, batch: list[T]) -> Sequence[R | Exception]:
        """On a database thread. What harms the whole batch must harm only the one that brought it."""
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
