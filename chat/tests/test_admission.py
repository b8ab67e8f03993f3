"""The queue of handshakes: order, bound in time, early refusal. The clock and the places are the test's own."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chat.hub import admission
from chat.hub.admission import ClientGone, Gate
from chat.tests import peers
from common.errors import TemporarilyUnavailable

here, alice, bob = peers.here, peers.alice, peers.bob


class Loop:
    """A loop whose clock the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def create_future(self) -> Any:
        return asyncio.get_running_loop().create_future()

    def call_at(self, when: float, call: Callable[[], None]) -> tuple[float, Callable[[], None]]:
        self.timers.append((when, call))
        return self.timers[-1]

    def move(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda one: one[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = end


class Server:
    """What uvicorn's protocol says of a handshake."""

    def __init__(self, herd: "Herd", name: int, held_since: float | None) -> None:
        self.herd, self.name, self.held_since = herd, name, held_since
        self.transport = self

    def is_closing(self) -> bool:
        return self.name in self.herd.gone

    async def send(self, message: Any) -> None: ...


class Herd:
    """Handshakes at a gate of two places, by name."""

    def __init__(self, patience_s: float = 8.0) -> None:
        self.loop = Loop()
        self.gate = Gate(self.loop, at_once=2, patience_s=patience_s)  # type: ignore[arg-type]
        self.outcomes: dict[int, Exception | None] = {}
        self.order: list[int] = []
        self.gone: set[int] = set()
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *names: int) -> None:
        for name in names:
            self.tasks[name] = asyncio.ensure_future(self._enter(name))
        await settle()

    async def _enter(self, name: int, since: float | None = None) -> None:
        self.outcomes[name] = await self.gate.enter(Server(self, name, since).send)
        self.order.append(name)

    async def serve(self, count: int = 1, *, seconds: float = 0.0) -> None:
        for _ in range(count):
            self.loop.move(seconds)
            self.gate.leave()
            await settle()

    def admitted(self) -> list[int]:
        return [name for name in self.order if self.outcomes[name] is None]

    def refused(self) -> list[int]:
        return [name for name in self.order if isinstance(self.outcomes[name], TemporarilyUnavailable)]


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_bounded_number_is_inside_and_the_others_come_in_the_order_of_arrival() -> None:
    herd = Herd()
    await herd.come(*range(6))
    assert herd.admitted() == [0, 1]
    await herd.serve()
    assert herd.admitted() == [0, 1, 2]
    await herd.serve(2)
    await herd.come(6)
    assert herd.admitted() == [0, 1, 2, 3, 4]
    await herd.serve(3)
    assert (herd.admitted(), herd.gate.inside, len(herd.gate.waiting)) == ([*range(7)], 1, 0)


async def test_any_number_is_admitted_that_is_served_in_time() -> None:
    herd = Herd()
    await herd.come(*range(3_000))
    await herd.serve(3_000, seconds=0.0026)
    assert (len(herd.admitted()), herd.refused()) == (3_000, [])


async def test_one_that_waited_in_vain_is_refused_and_told_when_to_come_again() -> None:
    herd = Herd()
    await herd.come(0, 1, 2)
    herd.loop.move(1)
    await herd.come(3)
    herd.loop.move(6.9)
    await settle()
    assert herd.refused() == []
    herd.loop.move(0.2)
    await settle()
    assert herd.refused() == [2]
    refusal = herd.outcomes[2]
    assert isinstance(refusal, TemporarilyUnavailable)
    assert refusal.retry_after is not None
    assert 1 <= refusal.retry_after <= 20
    await herd.serve()
    assert herd.admitted() == [0, 1, 3]


async def test_who_is_late_when_its_turn_comes_is_refused_and_not_served_in_vain() -> None:
    herd = Herd()
    await herd.come(0, 1, 2)
    herd.tasks[3] = asyncio.ensure_future(herd._enter(3, since=herd.loop.now - 5))
    await settle()
    herd.loop.move(4)
    await herd.serve(2)
    assert (herd.admitted(), herd.refused()) == ([0, 1, 2], [3])
    assert herd.gate.inside == 1


async def test_a_client_that_has_gone_meanwhile_takes_no_place() -> None:
    herd = Herd()
    await herd.come(*range(5))
    herd.gone |= {2, 3}
    await herd.serve()
    assert herd.admitted() == [0, 1, 4]
    assert isinstance(herd.outcomes[2], ClientGone)
    assert isinstance(herd.outcomes[3], ClientGone)
    assert herd.gate.inside == 2


async def test_gone_clients_are_not_refused() -> None:
    herd = Herd()
    await herd.come(*range(4))
    herd.gone |= {2, 3}
    herd.loop.move(9)
    await settle()
    assert herd.refused() == []
    await herd.come(4)
    await herd.serve()
    assert herd.admitted() == [0, 1, 4]


async def test_a_cancelled_handshake_gives_its_place_back() -> None:
    herd = Herd()
    await herd.come(*range(5))
    herd.tasks[2].cancel()  # while it waits
    await settle()
    herd.gate.leave()  # admits 3, which is cancelled before it has noticed
    herd.tasks[3].cancel()
    await settle()
    assert herd.admitted() == [0, 1, 4]
    assert (herd.gate.inside, len(herd.gate.waiting)) == (2, 0)


class Connection:
    """A connection outside that comes to the gate when it may."""

    def __init__(self, herd: Herd, name: int) -> None:
        self.herd, self.name = herd, name

    def is_gone(self) -> bool:
        return self.name in self.herd.gone

    def go_on(self, since: float | None = None) -> None:
        self.herd.tasks[self.name] = asyncio.ensure_future(self.herd._enter(self.name, since))


async def connect(herd: Herd, *names: int) -> None:
    for name in names:
        connection = Connection(herd, name)
        if not herd.gate.hold(connection):
            connection.go_on()
        await asyncio.sleep(0)
    await settle()


async def test_whoever_finds_a_full_queue_is_kept_outside_and_comes_in_in_turn() -> None:
    herd = Herd()
    await connect(herd, *range(10))
    assert (herd.gate.inside, len(herd.gate.waiting), len(herd.gate.outside)) == (2, 2, 6)
    for _ in range(20):
        await herd.serve()
        herd.loop.move(admission.PUMP_SECONDS)
        await settle()
        if not herd.gate.inside:
            break
    assert herd.admitted() == [*range(10)]
    assert (herd.refused(), len(herd.gate.outside)) == ([], 0)


async def test_those_outside_that_have_gone_cost_nothing_and_the_late_are_refused() -> None:
    herd = Herd()
    await connect(herd, *range(8))
    herd.gone |= {4, 6}
    herd.loop.move(7.9)
    await connect(herd, 8)
    herd.loop.move(0.2)
    await settle()
    assert (herd.admitted(), set(herd.refused())) == ([0, 1], {2, 3, 5, 7})
    assert [*herd.gate.outside] == []  # 8 has a place in the queue now
    assert len(herd.gate.waiting) == 1


async def test_many_that_waited_in_vain_are_refused_in_portions() -> None:
    herd = Herd()
    many = 3 * admission.REFUSED_AT_ONCE
    await connect(herd, *range(4 + many))
    herd.gate.waiting.extend(herd.gate.waiting)  # always full
    herd.loop.move(8 - admission.PUMP_SECONDS)
    assert len(herd.gate.outside) == many
    herd.loop.move(1)
    await settle()
    assert len(herd.gate.outside) == 0
    assert len(herd.admitted()) == 2


async def test_a_drain_answers_those_outside_at_once() -> None:
    herd = Herd()
    await connect(herd, *range(9))
    herd.gate.close()
    herd.loop.move(1)
    await settle()
    assert len(herd.gate.outside) == 0
    assert not herd.gate.hold(Connection(herd, 9))


@pytest.fixture
def full(here: Any) -> Iterator[Any]:
    """The only place is taken."""
    here.gate.at_once = here.gate.inside = 1
    yield here.gate
    here.gate.inside = 0


@pytest.mark.django_db(transaction=True)
async def test_a_handshake_that_would_wait_too_long_is_answered_by_4411(full: Any, alice: peers.Known) -> None:
    full.patience_s = 0.01
    peer = await peers.connect(alice, token=alice.access)
    error = await peer.next("error")
    assert (error["code"], error["retryable"]) == ("temporarily_unavailable", True)
    assert error["retry_after_ms"] >= 1_000
    assert await peer.close_code() == 4411


@pytest.mark.django_db(transaction=True)
async def test_one_that_waits_gets_its_hello_when_a_place_is_free(full: Any, alice: peers.Known) -> None:
    opening = asyncio.ensure_future(peers.connect(alice))
    while not full.waiting:
        await asyncio.sleep(0.01)
    full.leave()
    peer = await opening
    assert peer.hello["user_id"] == alice.id
    assert full.inside == 0
    full.inside = 1
    await peer.leave()


@pytest.mark.django_db(transaction=True)
async def test_refused_tokens_and_failures_give_their_place_back(here: Any, alice: peers.Known) -> None:
    here.gate.at_once = 1
    for _ in range(3):
        peer = await peers.connect(alice, token="no.such.token")
        assert await peer.close_code() == 4401
    peer = await peers.connect(alice)
    assert here.gate.inside == 0
    await peer.leave()


@pytest.mark.django_db(transaction=True)
async def test_a_drain_sends_those_who_wait_to_another_process(full: Any, here: Any, alice: peers.Known) -> None:
    opening = asyncio.ensure_future(peers.connect(alice, token=alice.access))
    while not full.waiting:
        await asyncio.sleep(0.01)
    await here.drain()
    peer = await opening
    assert await peer.close_code() == 4410
