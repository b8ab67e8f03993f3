"""What lies before a member's first visible message stays hidden from them: live, by `resume` and by `sync`.

alice owns a group without visible history, bob has been in it all along, charlie joins late or comes back.
"""

import asyncio
import time
from typing import Any

import pytest

from chat.hub import messages as wire
from chat.hub.process import Process
from chat.hub.send_window import Window
from chat.log import catchup, encoding
from chat.log.published import Published
from chat.models import Conversation, Event, Mention, Message
from chat.services import conversations, members, messages
from chat.tests import peers
from chat.tests.peers import Known, Peer, connect, group, run, say

pytestmark = pytest.mark.django_db(transaction=True)

here, alice, bob, charlie = peers.here, peers.alice, peers.bob, peers.charlie

SECRET = "before you came"


async def add(owner: Known, where: Conversation, who: Known) -> None:
    await run(members.add, user_id=owner.id, conversation_uuid=where.uuid, user_ids=[who.id])


async def remove(owner: Known, where: Conversation, who: Known) -> None:
    await run(members.remove, user_id=owner.id, conversation_uuid=where.uuid, member_id=who.id)


async def edit(who: Known, message: Any, text: str) -> None:
    await run(messages.edit, user_id=who.id, session_id=None, message_uuid=message.message_uuid, content=text)


async def react(who: Known, message: Any, emoji: str = "👍", **more: Any) -> None:
    await run(messages.react, user_id=who.id, session_id=None, message_uuid=message.message_uuid, emoji=emoji, **more)


async def change_everything(alice: Known, bob: Known, room: Conversation, secret: Any) -> None:
    """Speak of a hidden message in every way there is: five events."""
    await edit(alice, secret, "another secret")
    await react(bob, secret)
    await react(bob, secret, remove=True)
    await say(bob, room, "an answer", reply_to=secret.message_uuid)
    await run(messages.delete, user_id=alice.id, session_id=None, message_uuid=secret.message_uuid)


def hides_the_secret(events: list[dict[str, Any]], secret: Any) -> None:
    """Assert that the five events tell their numbers, and of the hidden message its uuid."""
    assert [event["kind"] for event in events] == [
        "message.edited", "reaction.added", "reaction.removed", "message.created", "message.deleted",
    ]  # fmt: skip
    about = [event for event in events if event["kind"] != "message.created"]
    hidden = {"message_uuid": str(secret.message_uuid), "hidden": True}
    assert [(event["data"], event["actor_id"]) for event in about] == [(hidden, None)] * 4
    answer = next(event["data"] for event in events if event["kind"] == "message.created")
    assert answer["content"] == "an answer"
    assert answer["reply_to"] == {"uuid": str(secret.message_uuid), "sender": None, "excerpt": ""}


def tells_everything(events: list[dict[str, Any]], secret: Any, alice: Known) -> None:
    assert [event["data"].get("hidden") for event in events] == [None] * 5
    assert events[1]["data"]["emoji"] == "👍"
    assert events[3]["data"]["reply_to"]["uuid"] == str(secret.message_uuid)
    assert events[3]["data"]["reply_to"]["sender"]["id"] == alice.id


async def resumed(peer: Peer, **cursors: int) -> list[dict[str, Any]]:
    """Resume from the cursors by uuid; return every frame up to `resumed`."""
    await peer.send("resume", epoch=peer.hello["epoch"], cursors=cursors)
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] != "resumed":
        frames.append(await peer.next())
    return frames


def told(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for frame in frames for event in frame.get("events", [])]


async def test_live_events_about_a_hidden_message_are_reduced_for_who_joined_later(alice, bob, charlie):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    old, new = await connect(bob), await connect(charlie)
    await add(alice, room, charlie)
    assert [event["kind"] for event in await new.events(1)] == ["member.joined"]
    await old.events(1)
    await change_everything(alice, bob, room, secret)
    hides_the_secret(await new.events(5), secret)
    tells_everything(await old.events(5), secret, alice)


async def test_a_socket_opened_after_the_join_gets_the_same(alice, bob, charlie):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    peer = await connect(charlie)
    await change_everything(alice, bob, room, secret)
    hides_the_secret(await peer.events(5), secret)


async def test_resume_and_sync_hide_the_same(alice, bob, charlie):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    head = await run(lambda: Conversation.objects.get(pk=room.pk).last_seq)
    await edit(alice, secret, "x"), await react(bob, secret), await react(bob, secret, remove=True)
    await say(bob, room, "an answer", reply_to=secret.message_uuid)
    await run(messages.delete, user_id=alice.id, session_id=None, message_uuid=secret.message_uuid)
    peer = await connect(charlie)
    seen = told(await resumed(peer, **{str(room.uuid): head}))
    hides_the_secret(seen, secret)
    await peer.send("sync", conversation_uuid=str(room.uuid), after_seq=head)
    assert await peer.events(5) == seen
    await say(alice, room, "and on")
    assert (await peer.events(1))[0]["data"]["content"] == "and on"


async def test_who_was_away_between_two_memberships_sees_nothing_of_before_the_second(alice, bob, charlie):
    room = await group(alice, bob, charlie)
    early = await say(alice, room, "while charlie was here")
    cursor = early.seq
    await remove(alice, room, charlie)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    peer = await connect(charlie)
    await react(bob, early)
    await edit(alice, early, "changed since")
    await edit(alice, secret, "another")
    await say(bob, room, "an answer", reply_to=secret.message_uuid)
    events = await peer.events(4)
    assert [event["data"].get("hidden") for event in events] == [True, True, True, None]
    assert events[3]["data"]["reply_to"]["excerpt"] == ""
    again = await connect(charlie)
    frames = await resumed(again, **{str(room.uuid): cursor})
    assert [frame["type"] for frame in frames] == ["gap", "resumed"]
    seen = await again.waiting()
    assert seen == []


async def test_a_hole_mended_from_the_log_hides_the_same(alice, bob, charlie, here):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    new, old = await connect(charlie), await connect(bob)
    publish, Process.publish = Process.publish, lambda self, batch: None
    try:
        await edit(alice, secret, "unheard")
        await say(bob, room, "an answer", reply_to=secret.message_uuid)
    finally:
        Process.publish = publish  # type: ignore[method-assign]
    await here.sweep.sweep()
    events = await new.events(2)
    assert events[0]["data"] == {"message_uuid": str(secret.message_uuid), "hidden": True}
    assert events[1]["data"]["reply_to"]["excerpt"] == ""
    assert (await old.events(2))[1]["data"]["reply_to"]["excerpt"] == "unheard"


async def test_another_process_hides_the_same(alice, bob, charlie, here):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    peer = await connect(charlie)
    publish, Process.publish = Process.publish, lambda self, batch: None
    try:
        await add(alice, room, charlie)
        await edit(alice, secret, "by another process")
    finally:
        Process.publish = publish  # type: ignore[method-assign]
    head = await run(lambda: Conversation.objects.get(pk=room.pk).last_seq)
    rows = await run(lambda: list(Event.objects.filter(conversation=room, seq__gt=head - 2).order_by("seq")))
    published = Published(room.pk, room.uuid, tuple(await run(encoding.encode, rows)))
    here.on_message(wire.to_wire(wire.Events(b=[wire.batch_of(published)])))
    events = await peer.events(2)
    assert events[1]["data"] == {"message_uuid": str(secret.message_uuid), "hidden": True}


async def test_opening_the_history_shows_it_to_who_is_connected(alice, bob, charlie):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    peer = await connect(charlie)
    await run(conversations.update, user_id=alice.id, conversation_uuid=room.uuid, history_visible=True)
    await react(bob, secret)
    assert (await peer.events(2))[1]["data"]["emoji"] == "👍"


async def test_who_joins_a_group_with_visible_history_sees_all_of_it(alice, bob, charlie):
    room = await group(alice, bob, history_visible=True)
    secret = await say(alice, room, SECRET)
    peer = await connect(charlie)
    await add(alice, room, charlie)
    await change_everything(alice, bob, room, secret)
    tells_everything((await peer.events(6))[1:], secret, alice)


async def test_all_members_of_one_spelling_share_one_frame(alice, bob, charlie, here, monkeypatch):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    connected = [await connect(one) for one in (alice, bob, charlie) for _ in range(3)]
    written = []
    monkeypatch.setattr(Window, "write", lambda self, frame, **more: written.append(frame) or True)
    await react(bob, secret)
    async with asyncio.timeout(60):
        while len(written) < len(connected):
            await asyncio.sleep(0.01)
    frames = [frame for frame in written if b"reaction.added" in frame.payload]
    assert len(frames) == 9
    assert sorted(sum(frame is one for frame in frames) for one in {id(one): one for one in frames}.values()) == [
        3,
        6,
    ]


@pytest.mark.parametrize("cursor", [0, 4, 5, 999])
async def test_a_removed_member_gets_removed_alone(alice, bob, charlie, cursor):
    room = await group(alice, bob, charlie)
    said = await say(alice, room, "old words")
    await remove(alice, room, charlie)
    await edit(alice, said, "new words")
    await react(bob, said)
    peer = await connect(charlie)
    frames = await resumed(peer, **{str(room.uuid): cursor})
    assert [frame["type"] for frame in frames] == ["removed", "resumed"]
    assert frames[0]["conversation_uuid"] == str(room.uuid)
    await peer.send("sync", conversation_uuid=str(room.uuid), after_seq=0)
    assert (await peer.next())["code"] == "not_found"


async def test_a_hole_shows_a_removed_member_nothing_that_was_changed_later(alice, bob, charlie, here):
    room = await group(alice, bob, charlie)
    peer, other = await connect(charlie), await connect(bob)
    publish, Process.publish = Process.publish, lambda self, batch: None
    try:
        said = await say(alice, room, "old words")
        await remove(alice, room, charlie)
        await edit(alice, said, "new words")
    finally:
        Process.publish = publish  # type: ignore[method-assign]
    await here.sweep.sweep()
    assert [event["data"].get("content") for event in await other.events(3)] == ["new words", None, "new words"]
    assert [frame["type"] for frame in await peer.waiting()] == ["removed"]


async def test_a_membership_that_ends_while_it_is_read_is_read_again(alice, bob, charlie, monkeypatch):
    room = await group(alice, bob, charlie)
    said = await say(alice, room, "old words")
    statement = catchup.logged_statement

    def meanwhile(ranges: Any) -> Any:
        monkeypatch.setattr(catchup, "logged_statement", statement)
        members.remove(user_id=alice.id, conversation_uuid=room.uuid, member_id=charlie.id)
        messages.edit(user_id=alice.id, session_id=None, message_uuid=said.message_uuid, content="new words")
        return statement(ranges)

    monkeypatch.setattr(catchup, "logged_statement", meanwhile)
    found = await run(catchup.read, charlie.id, {room.uuid: 1}, same_epoch=True)
    assert [(one.left, one.events) for one in found.ranges] == [(True, [])]


async def test_an_event_shows_its_message_as_it_was_when_committed(alice, bob, charlie, here):
    """Told a moment after its commit, it must not show what was changed for others since."""
    room = await group(alice, bob, charlie)
    said = await say(alice, room, "old words")
    peer = await connect(charlie)
    handed: list[list[Published]] = []
    publish, Process.publish = Process.publish, lambda self, batch: handed.append(batch)
    try:
        await edit(alice, said, "second words")
        await remove(alice, room, charlie)
        await edit(alice, said, "third words")
        await asyncio.sleep(0)
    finally:
        Process.publish = publish  # type: ignore[method-assign]
    for batch in handed:
        here.publish(batch)
    assert [event["data"].get("content") for event in await peer.events(2)] == ["second words", None]


async def test_nobody_is_mentioned_in_a_message_that_they_cannot_see(alice, bob, charlie):
    room = await group(alice, bob)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    await edit(alice, secret, f"@{charlie.name} and @{bob.name}")
    stored = await run(lambda: Message.objects.get(uuid=secret.message_uuid).mentions)
    assert stored == [bob.id]
    assert await run(lambda: list(Mention.objects.values_list("user_id", flat=True))) == [bob.id]


async def test_join_reads_what_is_hidden_anew_with_the_heads(alice, bob, charlie, here):
    room = await group(alice, bob, charlie)
    peer = await connect(charlie)
    places = await run(catchup.places, charlie.id)
    await remove(alice, room, charlie)
    secret = await say(alice, room, SECRET)
    await add(alice, room, charlie)
    await peer.waiting()
    late = await connect(charlie)
    here.hub.passing_members[charlie.id] = time.monotonic()
    socket = late.socket
    for feed in list(socket.feeds):
        here.hub.unfollow(socket, feed)
    await here.hub.join(socket, places, read_at=0.0)  # what was read before counts no more
    await react(bob, secret)
    assert (await late.events(1))[0]["data"]["hidden"] is True
