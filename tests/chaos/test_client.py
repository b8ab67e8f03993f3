"""The counting of `make chaos` must not be blind, and its clients must follow the contract: both without a server."""

import asyncio
import uuid
from typing import Any

import pytest

from tests.chaos.client import Account, Link
from tests.chaos.run import Ledger, Witness

ROOM = "6b1f2e0c-0000-4000-8000-000000000001"
HELLO = {"type": "hello", "epoch": "one", "heartbeat_interval_ms": 25_000}


class FakeLink(Link):
    """A socket whose other end is the test."""

    def __init__(self, device: Witness) -> None:
        super().__init__(device, ws=None)  # type: ignore[arg-type]
        self.sent: list[dict[str, Any]] = []

    async def send(self, **frame: Any) -> bool:
        self.sent.append(frame)
        return True


class FakeAccount(Account):
    def __init__(self, page: list[dict[str, Any]]) -> None:
        super().__init__("http://test", "alice", "", http=None)  # type: ignore[arg-type]
        self.page, self.calls = page, []  # type: ignore[var-annotated]

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        self.calls.append((method, path))
        return {"results": self.page, "has_more": False} if len(self.calls) == 1 else {"results": [], "has_more": False}


def event(seq: int, **data: Any) -> dict[str, Any]:
    message = {"uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, str(seq))), "client_msg_id": None, "seq": seq, **data}
    return {"conversation_uuid": ROOM, "seq": seq, "kind": "message.created", "at": "", "actor_id": 1, "data": message}


def events(*seqs: int, **more: Any) -> dict[str, Any]:
    return {"type": "events", "events": [event(seq) for seq in seqs], **more}


def witness(page: list[dict[str, Any]] | None = None) -> Witness:
    return Witness(FakeAccount(page or []), Ledger())


async def opened(device: Witness, *catch_up: dict[str, Any]) -> FakeLink:
    link = FakeLink(device)
    device.link = link
    await device.take(link, link_hello(link))
    for frame in catch_up:
        await device.take(link, frame)
    await device.take(link, {"type": "resumed"})
    return link


def link_hello(link: Link) -> dict[str, Any]:
    link.hello = HELLO
    return HELLO


def applied(device: Witness) -> list[int]:
    return list(device.messages[ROOM])


async def test_events_in_order_are_applied_and_nothing_is_counted() -> None:
    device = witness()
    link = await opened(device, events(1, 2))
    await device.take(link, events(3))
    await device.take(link, events(4, 5))
    ledger = device.ledger
    assert applied(device) == [1, 2, 3, 4, 5]
    assert (ledger.repeated_on_wire, ledger.skipped_on_wire, ledger.applied_twice) == (0, 0, 0)


async def test_a_repeat_on_one_socket_is_counted_and_not_applied() -> None:
    device = witness()
    link = await opened(device, events(1, 2))
    await device.take(link, events(2))
    assert applied(device) == [1, 2]
    assert device.ledger.repeated_on_wire == 1


async def test_a_hole_on_one_socket_is_counted_held_back_and_asked_for() -> None:
    device = witness()
    link = await opened(device, events(1, 2))
    await device.take(link, events(4))
    await asyncio.sleep(0)
    assert applied(device) == [1, 2]
    assert device.ledger.skipped_on_wire == 1
    (sync,) = [frame for frame in link.sent if frame["type"] == "sync"]
    assert (sync["conversation_uuid"], sync["after_seq"]) == (ROOM, 2)
    await device.take(link, events(3, ref=sync["ref"]))
    assert applied(device) == [1, 2, 3, 4]


async def test_what_a_catch_up_repeats_is_not_held_against_the_server() -> None:
    device = witness()
    await opened(device, events(1, 2, 3))
    second = FakeLink(device)
    await device.take(second, link_hello(second))
    await device.take(second, events(5))  # live already
    await device.take(second, events(4, 5))
    await device.take(second, {"type": "resumed"})
    assert second.sent[0] == {"type": "resume", "epoch": "one", "cursors": {ROOM: 3}}
    assert applied(device) == [1, 2, 3, 4, 5]
    assert (device.ledger.repeated_on_wire, device.ledger.skipped_on_wire) == (0, 0)


async def test_a_live_event_before_the_catch_up_of_an_unknown_conversation_loses_nothing() -> None:
    device = witness()
    link = FakeLink(device)
    await device.take(link, link_hello(link))
    await device.take(link, events(9))
    await device.take(link, events(7, 8))
    assert applied(device) == []
    await device.take(link, {"type": "resumed"})
    assert applied(device) == [7, 8, 9]


async def test_two_sockets_of_a_device_apply_an_event_once() -> None:
    device = witness()
    first = await opened(device, events(1))
    second = await opened(device)
    for link in (first, second):
        await device.take(link, events(2))
    assert applied(device) == [1, 2]
    assert (device.ledger.repeated_on_wire, device.ledger.applied_twice) == (0, 0)


async def test_a_gap_is_filled_by_the_newest_page_and_the_cursor_is_its_last_seq() -> None:
    device = witness([event(seq)["data"] for seq in (8, 9, 10)])
    link = await opened(device, events(1))
    await device.take(link, {"type": "gap", "conversation_uuid": ROOM, "from_seq": 2, "last_seq": 9})
    await device.take(link, events(10))
    for _ in range(5):
        await asyncio.sleep(0)
    assert device.cursors[ROOM] == 10
    assert device.account.calls[0] == ("GET", f"chat/conversations/{ROOM}/messages/")  # type: ignore[attr-defined]
    assert sorted(applied(device)) == [1, 8, 9, 10]
    assert device.ledger.applied_twice == 0


async def test_a_message_goes_out_again_with_its_id_until_it_is_acknowledged() -> None:
    device = witness()
    link = await opened(device)
    client_msg_id = device.say(ROOM, "hello")
    await asyncio.sleep(0)
    await device._try(device.outbox[client_msg_id])
    sent = [frame["client_msg_id"] for frame in link.sent if frame["type"] == "message"]
    assert sent == [client_msg_id, client_msg_id]
    await device.take(link, {"type": "ack", "client_msg_id": client_msg_id})
    assert not device.outbox


async def test_a_message_goes_out_over_rest_while_there_is_no_socket() -> None:
    device = witness()
    client_msg_id = device.say(ROOM, "hello")
    await asyncio.sleep(0)
    device.outbox[client_msg_id].tries = 1
    await device._try(device.outbox[client_msg_id])
    for _ in range(5):
        await asyncio.sleep(0)
    assert device.account.calls == [("POST", f"chat/conversations/{ROOM}/messages/")]  # type: ignore[attr-defined]
    assert not device.outbox


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_refused_message_is_kept_only_if_it_may_pass_later(retryable: bool) -> None:
    device = witness()
    link = await opened(device)
    client_msg_id = device.say(ROOM, "hello")
    await device.take(
        link,
        {"type": "error", "client_msg_id": client_msg_id, "code": "throttled", "detail": "", "retryable": retryable},
    )
    assert (client_msg_id in device.outbox, bool(device.refused)) == (retryable, not retryable)
