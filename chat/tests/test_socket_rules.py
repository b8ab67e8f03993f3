"""Typing, receipts and limits of the socket, with the real consumer and without a wire."""

import asyncio
import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from chat.hub import messages as wire
from chat.log import catchup
from chat.models import ChatSettings
from chat.services import members
from chat.socket import handlers, handshake
from chat.tests import peers
from chat.tests.peers import connect, group, run, say
from common.client import Client
from sessions.services import lifecycle as sessions

pytestmark = pytest.mark.django_db(transaction=True)

here, alice, bob = peers.here, peers.alice, peers.bob


async def test_typing_is_shown_at_each_repeat_and_ends_by_itself_once(alice, bob, settings):
    settings.CHAT_TYPING_SECONDS = 0.3
    room = await group(alice, bob)
    typist, reader = await connect(alice), await connect(bob)
    for _ in range(3):
        await typist.send("typing", conversation_uuid=str(room.uuid), active=True)
        assert (await reader.next("typing"))["active"] is True
    assert (await reader.next("typing"))["active"] is False
    assert typist.socket.typing == {}
    await typist.send("typing", conversation_uuid=str(room.uuid), active=False)  # it has ended already
    await typist.waiting()
    assert await reader.waiting() == []


async def test_typing_ends_by_itself_where_the_typists_process_died(alice, bob, here, settings):
    settings.CHAT_TYPING_SECONDS = 0.2
    room = await group(alice, bob)
    reader = await connect(bob)
    told = wire.to_wire(wire.TypingChanged(c=room.pk, u=alice.id, a=True))
    here.on_message(told)
    here.on_message(told)
    assert [(await reader.next("typing"))["active"] for _ in range(3)] == [True, True, False]
    here.on_message(wire.to_wire(wire.TypingChanged(c=room.pk, u=alice.id, a=False)))
    assert await reader.waiting() == []


async def test_typing_ends_with_the_message(alice, bob):
    room = await group(alice, bob)
    typist, reader = await connect(alice), await connect(bob)
    await typist.send("typing", conversation_uuid=str(room.uuid), active=True)
    assert (await reader.next("typing"))["active"] is True
    await typist.send("message", conversation_uuid=str(room.uuid), content="there it is")
    assert (await reader.next("typing"))["active"] is False
    await reader.events(1)
    assert typist.socket.typing == {}


async def test_typing_that_its_message_has_overtaken_is_not_shown(alice, bob, monkeypatch):
    room = await group(alice, bob)
    typist, reader = await connect(alice), await connect(bob)
    stored = threading.Event()
    monkeypatch.setattr(handlers, "_require_unblocked", lambda user_id, name: stored.wait(60))
    await typist.send("typing", conversation_uuid=str(room.uuid), active=True)
    await typist.send("message", conversation_uuid=str(room.uuid), content="quick")
    await reader.events(1)
    stored.set()
    await typist.send("mark_as_seen", conversation_uuid=str(room.uuid), up_to_seq=1, ref="behind it")
    await typist.next("receipt")
    assert await reader.waiting() == []
    await typist.send("typing", conversation_uuid=str(room.uuid), active=True)
    assert (await reader.next("typing"))["active"] is True


async def test_typing_ends_with_the_socket(alice, bob):
    room = await group(alice, bob)
    typist, reader = await connect(alice), await connect(bob)
    await typist.send("typing", conversation_uuid=str(room.uuid), active=True)
    await reader.next("typing")
    await typist.leave()
    assert (await reader.next("typing"))["active"] is False


async def test_sending_is_a_receipt_to_ones_own_other_devices(alice, bob):
    room = await group(alice, bob)
    first, second, other = await connect(alice), await connect(alice), await connect(bob)
    await first.send("message", conversation_uuid=str(room.uuid), content="Hello")
    receipt = await second.next("receipt")
    assert (receipt["user_id"], receipt["up_to_seq"]) == (alice.id, 4)
    assert [frame["type"] for frame in await other.waiting()] == ["events"]  # the message says it already


async def test_sending_tells_the_members_that_theirs_was_read(alice, bob):
    room = await group(alice, bob)
    await say(bob, room)
    writer = await connect(bob)
    sent = await say(alice, room)
    receipt = await writer.next("receipt")
    assert (receipt["user_id"], receipt["up_to_seq"]) == (alice.id, sent.seq)


async def test_sending_is_no_receipt_of_who_shares_none(alice, bob):
    room = await group(alice, bob)
    await run(ChatSettings.objects.create, user_id=alice.id, share_receipts=False)
    await say(bob, room)
    own, writer = await connect(alice), await connect(bob)
    await say(alice, room)
    await own.next("receipt")
    assert [frame["type"] for frame in await writer.waiting()] == ["events"]


@pytest.mark.parametrize(
    "offered",
    [
        ["access_token", "a.b.c"], ["access_token", "a.b.c", "chat.v2"], ["graphql-ws", "access_token", "a.b.c"],
        ["access_token", "mqtt", "a.b.c", "x"], ["a.b.c", "access_token"], ["access_token", "a.b.c", "d.e.f"],
    ],
)  # fmt: skip
def test_other_subprotocols_are_ignored(offered):
    assert handshake.token_of({"subprotocols": offered}) == "a.b.c"


def test_without_anything_beside_it_there_is_no_token():
    assert handshake.token_of({"subprotocols": ["access_token"]}) == ""


async def test_a_token_of_another_session_of_the_same_person_renews_nothing(alice):
    peer = await connect(alice)
    other = await run(
        lambda: sessions.start(user=get_user_model().objects.get(pk=alice.id), client=Client()).tokens.access
    )
    before = peer.socket.token_expires_at = timezone.now() + timedelta(seconds=400)
    await peer.send("authenticate", token=other, ref=1)
    error = await peer.next("error")
    assert (error["code"], error["ref"]) == ("permission_denied", 1)
    assert peer.socket.token_expires_at == before


async def test_what_happens_between_the_read_and_the_subscription_is_not_lost(alice, bob, here, monkeypatch):
    """Subscribe, then read: a message and a removal of that moment would otherwise wait for the next sweep."""
    room, left = await group(alice, bob), await group(alice, bob)
    places = await run(catchup.places, bob.id)

    async def subscribe(groups: set[str]) -> bool:
        await say(alice, room, "meanwhile")
        await run(members.remove, user_id=alice.id, conversation_uuid=left.uuid, member_id=bob.id)
        return True

    peer = await connect(bob)
    for feed in list(peer.socket.feeds):
        here.hub.unfollow(peer.socket, feed)
    monkeypatch.setattr(here.hub, "_subscribe", subscribe)
    await here.hub.join(peer.socket, places, read_at=float("inf"))
    assert {feed.uuid: feed.head for feed in peer.socket.feeds} == {room.uuid: 4}
    await say(alice, room, "and on")
    assert [event["data"]["content"] for event in await peer.events(1)] == ["and on"]


async def test_more_work_than_a_socket_may_queue_is_told_to_wait(alice, bob, monkeypatch):
    room = await group(alice, bob)
    peer = await connect(alice)
    monkeypatch.setattr("chat.hub.connection.WORK_QUEUE", 3)
    release = asyncio.Event()
    peer.socket.enqueue(release.wait)
    await asyncio.sleep(0)
    for ref in range(5):
        await peer.send("mark_as_seen", conversation_uuid=str(room.uuid), ref=ref)
    refused = [await peer.next("error") for _ in range(2)]
    assert [(frame["ref"], frame["code"], frame["retryable"]) for frame in refused] == [
        (3, "throttled", True), (4, "throttled", True),
    ]  # fmt: skip
    release.set()
    answers = [frame["ref"] for frame in [await peer.next("receipt") for _ in range(4)] if "ref" in frame]
    assert answers == [0, 1, 2]  # and the one of which every device hears


async def test_a_resume_has_a_greatest_number_of_cursors(alice, monkeypatch):
    monkeypatch.setattr(handlers, "CURSORS", 3)
    peer = await connect(alice)
    names = [str(uuid.uuid4()) for _ in range(4)]
    epoch = peer.hello["epoch"]
    await peer.send("resume", epoch=epoch, cursors=dict.fromkeys(names[:2], 1), more=True)
    await peer.send("resume", epoch=epoch, cursors=dict.fromkeys(names[2:], 1), ref="x")
    error = await peer.next("error")
    assert (error["ref"], error["code"]) == ("x", "validation_error")
    await peer.send("resume", epoch=epoch, cursors=dict.fromkeys(names[:3], 1))
    assert len([frame for frame in [await peer.next() for _ in range(4)] if frame["type"] == "removed"]) == 3


@pytest.mark.parametrize("end", ["session", "account"])
async def test_who_ends_between_the_read_and_the_hub_does_not_come_in(alice, here, monkeypatch, end):
    give = here.openings._give

    def late(*answer):  # what was read holds no longer, and nothing of it has joined yet
        if end == "session":
            here.endings.end_sessions_here([alice.sid], "revoked")
        else:
            here.endings.suspend_here(alice.id)
        give(*answer)

    monkeypatch.setattr(here.openings, "_give", late)
    peer = await connect(alice, token=alice.access)
    assert (await peer.next())["code"] == "token_not_valid"
    assert await peer.close_code() == {"session": 4503, "account": 4504}[end]
    assert not here.hub.sockets
