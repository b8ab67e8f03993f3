"""Delivery of pushes: parallel threads, a circuit breaker per push service, and retries with back-off."""

import random
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from common.metrics import PUSHES
from sessions.models import PushRegistration
from sessions.push import providers
from sessions.push.gate import Over
from sessions.push.http import Unreachable
from sessions.push.provider import OVER, Kind, Outcome, Push

log = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 2  # then 8, 32, 128, 512: a push that comes much later is useless


class Breaker:
    """Circuit breaker: skips a push service for a minute after three slow or missing answers in a row.

    An answer is slow after `SLOW_SECONDS`, and missing after `WASTED_SECONDS`. A quick refusal does not count.
    """

    FAILURES, HOLD_SECONDS, SLOW_SECONDS, WASTED_SECONDS, SERVICES = 3, 60.0, 5.0, 0.5, 1_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, tuple[int, float]] = OrderedDict()  # origin: (how often, held until)

    def held_s(self, origin: str) -> float:
        """Return for how many more seconds the service is skipped."""
        with self._lock:
            return max(0.0, self._failed.get(origin, (0, 0.0))[1] - time.monotonic())

    def note(self, origin: str, *, failed: bool) -> None:
        with self._lock:
            times = self._failed.pop(origin, (0, 0.0))[0] + 1
            if failed:
                until = time.monotonic() + self.HOLD_SECONDS if times >= self.FAILURES else 0.0
                self._failed[origin] = (times, until)
            while len(self._failed) > self.SERVICES:  # any user can register an endpoint of a new service
                self._failed.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._failed.clear()


breaker = Breaker()


def send(pushes: Sequence[Push]) -> list[Outcome]:
    """Send each push, `PUSH_CONCURRENCY` in parallel; return the outcomes in order. Deletes devices that are gone."""
    found: list[Outcome] = [OVER] * len(pushes)
    work = deque(_batches(pushes))
    threads = min(settings.PUSH_CONCURRENCY, len(work))
    if threads <= 1:
        _work(work, pushes, found)
    else:
        with ThreadPoolExecutor(threads, thread_name_prefix="push") as pool:
            for future in [pool.submit(_work_and_close, work, pushes, found) for _ in range(threads)]:
                future.result()
    _forget(pushes, found)
    _log(pushes, found)
    return found


def _batches(pushes: Sequence[Push]) -> Iterator[list[int]]:
    """Yield batches of indices into `pushes`, as large as the provider accepts in one request."""
    by_provider: dict[str, list[int]] = defaultdict(list)
    for place, push in enumerate(pushes):
        by_provider[push.provider].append(place)
    for name, places in by_provider.items():
        size = providers.of(name).batch
        yield from (places[start : start + size] for start in range(0, len(places), size))


def _work_and_close(work: deque[list[int]], pushes: Sequence[Push], found: list[Outcome]) -> None:
    try:
        _work(work, pushes, found)
    finally:
        connection.close()  # of this thread


def _work(work: deque[list[int]], pushes: Sequence[Push], found: list[Outcome]) -> None:
    while True:
        try:
            places = work.popleft()
        except IndexError:
            return
        for place, outcome in zip(places, _sent([pushes[place] for place in places]), strict=True):
            found[place] = outcome


def _sent(batch: list[Push]) -> list[Outcome]:
    """Send one batch; pushes that are too large are sent again without their texts."""
    outcomes = _tried(batch)
    too_large = [place for place, outcome in enumerate(outcomes) if outcome.kind is Kind.TOO_LARGE]
    if too_large:
        shorter = [batch[place].without_texts() for place in too_large]
        for place, outcome in zip(too_large, _tried(shorter), strict=True):
            outcomes[place] = outcome
    return outcomes


def _tried(batch: list[Push]) -> list[Outcome]:
    provider = providers.of(batch[0].provider)
    origin = provider.origin(batch[0])
    if held := breaker.held_s(origin):
        return [Outcome(Kind.LATER, "held", held)] * len(batch)
    started = time.monotonic()
    try:
        outcomes = provider.send(batch)
    except Over:
        return [OVER] * len(batch)
    except Unreachable as error:
        breaker.note(origin, failed=time.monotonic() - started > Breaker.WASTED_SECONDS)
        return [Outcome(Kind.LATER, str(error))] * len(batch)
    except (DatabaseError, InterfaceError) as error:  # the database is down: nothing was sent
        return [Outcome(Kind.LATER, type(error).__name__)] * len(batch)
    except Exception as error:
        log.exception("push.failed", provider=batch[0].provider)
        return [Outcome(Kind.FAILED, type(error).__name__)] * len(batch)
    breaker.note(origin, failed=time.monotonic() - started > Breaker.SLOW_SECONDS)
    return outcomes


def _forget(pushes: Sequence[Push], found: Sequence[Outcome]) -> None:
    """Delete the registrations of devices that are gone, unless they were registered with a new address meanwhile."""
    for push, outcome in zip(pushes, found, strict=True):
        if outcome.kind is Kind.GONE:
            PushRegistration.objects.filter(pk=push.registration_id, token=push.token).delete()


def again(pushes: Sequence[Push], outcomes: Sequence[Outcome], *, attempt: int) -> Iterator[tuple[datetime, list[int]]]:
    """Return the retries as (time, registration ids): pushes that a service deferred, no earlier than it asked.

    Empty after the last of `PUSH_ATTEMPTS`.
    """
    by_delay: dict[float, set[int]] = defaultdict(set)
    backoff = float(FIRST_RETRY_SECONDS * 4 ** (attempt - 1))
    for push, outcome in zip(pushes, outcomes, strict=True):
        if outcome.kind is Kind.LATER:
            asked = outcome.retry_after
            by_delay[backoff if asked is None else max(1.0, round(asked))].add(push.registration_id)
    if by_delay and attempt >= settings.PUSH_ATTEMPTS:
        log.warning("push.given_up", count=sum(map(len, by_delay.values())), attempts=attempt)
        return
    for delay, ids in by_delay.items():
        yield timezone.now() + timedelta(seconds=delay * random.uniform(1, 1.1)), sorted(ids)  # noqa: S311


def _log(pushes: Sequence[Push], found: Sequence[Outcome]) -> None:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for push, outcome in zip(pushes, found, strict=True):
        counts[push.provider, outcome.kind.value] += 1
        if outcome.kind is Kind.FAILED:
            log.warning("push.refused", provider=push.provider, registration=push.registration_id, why=outcome.why)
    for (provider, kind), count in sorted(counts.items()):
        PUSHES.labels(provider, kind).inc(count)
        log.info("push.sent", provider=provider, outcome=kind, count=count)
