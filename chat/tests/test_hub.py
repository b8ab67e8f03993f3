"""Every stored message, once, in order: what the hub promises, with the real database and without a wire."""

import asyncio
import json
import threading
import time
import uuid
from typing import Any

import pytest
from django.db import transaction

from chat.hub import clock, hub, presence
from chat.hub import messages as wire
from chat.hub.feed import Feed
from chat.hub.process import Process
from chat.log import catchup, events
from chat.log.published import Encoded, Published, Receipt
from chat.models import Event, Membership, Message
from chat.services import conversations, members, messages
from chat.tests import peers
from chat.tests.peers import connect, group, run, say
from sessions.services import lifecycle as session_services

pytestmark = pytest.mark.django_db(transaction=True)

here, alice, bob, charlie = peers.here, peers.alice, peers.bob, peers.charlie


async def test_a_message_reaches_every_socket_of_every_member_and_nobody_else(alice, bob, charlie):
    room = await group(alice, bob)
    first, second, own, stranger = [await connect(one) for one in (bob, bob, alice, charlie)]
    await own.send("message", conversation_uuid=str(room.uuid), content="Hello", ref=1)
    ack = await own.next("ack")
    for peer in (first, second):
        [event] = await peer.events(1)
        assert (event["seq"], event["data"]["content"]) == (ack["seq"], "Hello")
    assert await stranger.waiting() == []


async def test_nothing_is_told_before_commit_nor_after_a_rollback(alice, bob):
    room = await group(alice, bob)
    peer = await connect(bob)
    inside, go_on = threading.Event(), threading.Event()

    def slow_commit() -> None:
        with transaction.atomic():
            conversation = events.locked(room.pk)
            events.append(conversation, kind="conversation.updated", actor_id=alice.id, at=room.updated_at)
            inside.set()
            go_on.wait(60)

    def rollback() -> None:
        with transaction.atomic():
            conversation = events.locked(room.pk)
            events.append(conversation, kind="conversation.updated", actor_id=alice.id, at=room.updated_at)
            transaction.set_rollback(True)

    committing = asyncio.ensure_future(run(slow_commit))
    await asyncio.to_thread(inside.wait, 60)
    assert await peer.waiting() == []
    go_on.set()
    await committing
    [event] = await peer.events(1)
    await run(rollback)
    assert await peer.waiting() == []
    sent = await say(alice, room)
    assert sent.seq == event["seq"] + 1  # the number that was rolled back is given again: no hole


async def test_a_removed_member_gets_nothing_past_the_end_though_the_layer_loses_everything(alice, bob, charlie, here):
    room = await group(alice, bob, charlie)
    elsewhere = Process(asyncio.get_running_loop())  # another process, to which nothing is ever told
    peer = await connect(charlie)
    socket = peer.socket
    here.hub.sockets.pop(socket.connection_id)
    for feed in list(socket.feeds):
        here.hub.unfollow(socket, feed)
    await elsewhere.hub.join(socket, await run(catchup.places, charlie.id), read_at=time.monotonic())
    await say(alice, room, "before")
    await run(members.remove, user_id=alice.id, conversation_uuid=room.uuid, member_id=charlie.id)
    await say(alice, room, "after")
    left = await run(lambda: Membership.objects.get(user_id=charlie.id).left_seq)
    await elsewhere.sweep.sweep()
    seen = await peer.events(2)
    assert [event["seq"] for event in seen] == [left - 1, left]
    assert (await peer.next("removed"))["conversation_uuid"] == str(room.uuid)
    await elsewhere.sweep.sweep()
    assert await peer.waiting() == []
    elsewhere.leave(socket)
    await elsewhere.stop()


async def test_who_joins_on_another_process_is_found_by_the_sweep(alice, bob, here):
    peer = await connect(bob)
    publish, Process.publish = Process.publish, lambda self, batch: None
    try:
        room = await group(alice, bob)
        await say(alice, room, "welcome")
        await asyncio.sleep(0)
        assert await peer.waiting() == []
    finally:
        Process.publish = publish  # type: ignore[method-assign]
    await here.sweep.sweep()
    seen = await peer.events(4)
    assert [event["seq"] for event in seen] == [1, 2, 3, 4]


async def test_what_comes_twice_early_or_not_at_all_is_told_once_and_in_order(alice, bob, here):
    room = await group(alice, bob)
    peer = await connect(bob)
    publish, Process.publish = Process.publish, lambda self, batch: None
    for number in range(6):
        await say(alice, room, str(number))
    Process.publish = publish  # type: ignore[method-assign]
    stored = (await run(catchup.holes, {room.pk: 3}))[room.pk].events

    def wake(*places: int) -> None:
        here.publish([Published(room.pk, room.uuid, tuple(stored[place] for place in places))])

    wake(1), wake(1, 0), wake(4), wake(0, 1, 2), wake(5)  # 3 never comes
    seen = await peer.events(6)
    assert [event["data"]["content"] for event in seen] == ["0", "1", "2", "3", "4", "5"]
    wake(2, 3, 4, 5)
    assert await peer.waiting() == []


async def test_resume_tells_what_was_missed_then_what_is_left_of(alice, bob, charlie):
    room, gone = await group(alice, bob), await group(alice, bob, charlie)
    epoch = (await connect(bob)).hello["epoch"]
    await say(alice, gone, "last words")
    await run(members.remove, user_id=alice.id, conversation_uuid=gone.uuid, member_id=bob.id)
    await say(alice, gone, "behind their back")
    await say(alice, room, "missed")
    peer = await connect(bob)
    unknown = uuid.uuid4()
    await peer.send("resume", epoch=epoch, cursors={str(room.uuid): 3, str(gone.uuid): 4, str(unknown): 1})
    frames = []
    while not frames or frames[-1]["type"] != "resumed":
        frames.append(await peer.next())
    told = [
        (frame["type"], event["conversation_uuid"], event["seq"])
        for frame in frames
        for event in frame.get("events", [])
    ]
    assert ("events", str(room.uuid), 4) in told
    assert str(gone.uuid) not in {name for _, name, _ in told}
    removed = {frame["conversation_uuid"] for frame in frames if frame["type"] == "removed"}
    assert removed == {str(gone.uuid), str(unknown)}


async def test_a_conversation_in_none_of_the_cursors_counts_from_the_join(alice, bob, charlie):
    open_room, closed_room = await group(alice, bob, history_visible=True), await group(alice, bob)
    for room in (open_room, closed_room):
        await say(alice, room, "before")
        await run(members.add, user_id=alice.id, conversation_uuid=room.uuid, user_ids=[charlie.id])
        await say(alice, room, "after")
    peer = await connect(charlie)
    await peer.send("resume", epoch=peer.hello["epoch"], cursors={})
    seen = await peer.events(4)
    assert {event["seq"] for event in seen} == {5, 6}
    await peer.send("sync", conversation_uuid=str(closed_room.uuid), after_seq=1, ref="x")
    gap = await peer.next("gap")
    assert (gap["from_seq"], gap["last_seq"], gap["ref"]) == (5, 6, "x")  # of before the join nothing is shown
    await peer.send("sync", conversation_uuid=str(open_room.uuid), after_seq=1)
    assert [event["seq"] for event in await peer.events(5)] == [2, 3, 4, 5, 6]


async def test_at_most_a_thousand_events_are_told_newest_conversations_first(alice, bob, settings):
    settings.CHAT_RESUME_EVENTS = 10
    rooms = [await group(alice, bob) for _ in range(3)]
    for room in rooms:
        for number in range(4):
            await say(alice, room, str(number))
    peer = await connect(bob)
    await peer.send("resume", epoch=peer.hello["epoch"], cursors={str(room.uuid): 3 for room in rooms[:2]}, more=True)
    await peer.send("resume", epoch=peer.hello["epoch"], cursors={str(rooms[2].uuid): 3})
    frames = []
    while not frames or frames[-1]["type"] != "resumed":
        frames.append(await peer.next())
    order = [frame.get("conversation_uuid") or frame["events"][0]["conversation_uuid"] for frame in frames[:-1]]
    assert [frame["type"] for frame in frames] == ["events", "events", "gap", "resumed"]
    assert order == [str(room.uuid) for room in reversed(rooms)]


async def test_live_events_wait_behind_the_catch_up(alice, bob):
    room = await group(alice, bob)
    for number in range(150):
        await say(alice, room, str(number))
    peer = await connect(bob)

    async def keep_talking() -> None:
        for number in range(150, 220):
            await say(alice, room, str(number))

    talking = asyncio.ensure_future(keep_talking())
    await peer.send("resume", epoch=peer.hello["epoch"], cursors={str(room.uuid): 3})
    last, live_before = 3, True
    while last < 223:
        for event in (await peer.next("events"))["events"]:
            if live_before and event["seq"] > last + 1:
                continue  # told live before the `resume` was read
            live_before = False
            assert event["seq"] == last + 1
            last = event["seq"]
    await talking


async def test_a_session_that_was_revoked_unheard_writes_nothing_and_is_closed_by_the_sweep(alice, bob, here):
    from sessions.models import UserSession

    room = await group(alice, bob)
    writer, reader = await connect(alice), await connect(alice)
    await run(lambda: UserSession.objects.filter(pk=alice.session_id).update(is_active=False, end_reason="revoked"))
    await writer.send("message", conversation_uuid=str(room.uuid), content="x")
    assert (await writer.next("error"))["code"] == "token_not_valid"
    assert await writer.close_code() == 4503
    assert await run(Message.objects.count) == 0
    await here.sweep.sweep()
    assert await reader.close_code() == 4503


async def test_revocation_closes_at_once(alice):
    peer = await connect(alice)
    await run(session_services.revoke, user_id=alice.id, sid=alice.sid, reason="revoked")
    bye = await peer.next("bye")
    assert (bye["code"], bye["close"]) == ("session_revoked", 4503)
    assert await peer.close_code() == 4503


async def test_one_slow_query_holds_up_no_other_socket(alice, bob, monkeypatch):
    room = await group(alice, bob)
    slow, other = await connect(alice), await connect(bob)
    release = threading.Event()
    monkeypatch.setattr(messages, "_locked", lambda *given: release.wait(60))
    for _ in range(20):
        await slow.send("delete", message_uuid=str(uuid.uuid4()))
    for peer in (other, slow):  # also on the very socket whose query is slow
        for _ in range(5):
            await peer.send("ping")
            await peer.next("pong", within_s=30)  # the queries wait longer
    release.set()
    assert room.pk


async def test_tokens_expire_and_are_renewed_in_band(alice, here, settings):
    from datetime import timedelta

    peer = await connect(alice)
    socket = peer.socket
    now = time.monotonic()
    here.clock.check_times(socket, now, socket.token_expires_at - timedelta(seconds=200))
    assert (await peer.next("token_expiring"))["in_s"] == 200
    here.clock.check_times(socket, now, socket.token_expires_at + timedelta(seconds=settings.JWT_LEEWAY - 1))
    assert socket.is_open
    here.clock.check_times(socket, now, socket.token_expires_at + timedelta(seconds=settings.JWT_LEEWAY))
    assert await peer.close_code() == 4401


async def test_a_silent_client_that_used_to_ping_is_closed_and_one_that_never_did_is_not(alice, here, settings):
    silent, quiet = await connect(alice), await connect(alice)
    await silent.send("ping")
    await silent.next("pong")
    later = time.monotonic() + settings.CHAT_HEARTBEAT_TIMEOUT + 1
    for peer in (silent, quiet):
        here.clock.check_times(peer.socket, later, peer.socket.token_expires_at)
    assert await silent.close_code() == 4408
    assert quiet.socket.is_open


async def test_with_a_heartbeat_timeout_of_0_no_silence_closes(alice, here, settings):
    settings.CHAT_HEARTBEAT_TIMEOUT = 0
    silent = await connect(alice)
    await silent.send("ping")
    await silent.next("pong")
    here.clock.check_times(silent.socket, time.monotonic() + 3600, silent.socket.token_expires_at)
    assert silent.socket.is_open


async def test_with_a_warning_time_of_0_nothing_is_said_of_the_token(alice, here, settings):
    settings.CHAT_TOKEN_EXPIRING = 0
    peer = await connect(alice)
    here.clock.check_times(peer.socket, time.monotonic(), peer.socket.token_expires_at)
    assert peer.socket.is_open
    assert not peer.socket.warned


async def test_a_socket_has_a_greatest_age(alice, here, settings):
    peer = await connect(alice)
    late = time.monotonic() + settings.CHAT_MAX_AGE * 1.2
    here.clock.check_times(peer.socket, late, peer.socket.token_expires_at)
    assert await peer.close_code() == 4440


async def test_a_flood_of_frames_ends_in_4429(alice, settings):
    settings.CHAT_FRAMES_PER_MINUTE = 5
    peer = await connect(alice)
    for _ in range(5):
        await peer.send("ping")
        await peer.next("pong")
    await peer.send("ping")
    error = await peer.next("error")
    assert (error["code"], error["retryable"]) == ("throttled", True)
    assert 0 < error["retry_after_ms"] <= 60_000
    for _ in range(5):
        await peer.send("ping")
    assert (await peer.next("bye"))["reconnect_in_ms"] > 0
    assert await peer.close_code() == 4429


@pytest.mark.parametrize("ref", ["r" * 300, {"screen": [1, None]}, ["a"], 1.5, True, False, 0, "", 2**63, -1])
async def test_a_ref_comes_back_whatever_it_is(alice, ref):
    peer = await connect(alice)
    await peer.send("ping", ref=ref)
    assert (await peer.next("pong"))["ref"] == ref
    await peer.send("nonsense", ref=ref)
    assert (await peer.next("error"))["ref"] == ref
    await peer.communicator.send_to(text_data=json.dumps({"ref": ref}))  # no type
    error = await peer.next("error")
    assert (error["code"], error["ref"]) == ("bad_frame", ref)


async def test_a_byte_order_mark_before_a_frame_is_skipped(alice):
    peer = await connect(alice)
    await peer.communicator.send_to(text_data='\ufeff{"type":"ping","ref":1}')
    assert (await peer.next("pong"))["ref"] == 1
    await peer.communicator.send_to(text_data="\ufeff" * 20_000)
    assert (await peer.next("error"))["code"] == "bad_frame"
    await peer.communicator.send_to(text_data='\ufeff{"type":"ping","ref":1')
    assert (await peer.next("error"))["code"] == "bad_frame"


async def test_a_deep_ref_is_echoed_or_refused_and_the_socket_lives_on(alice):
    peer = await connect(alice)
    await peer.communicator.send_to(text_data='{"type":"ping","ref":' + "[" * 50 + "]" * 50 + "}")
    assert (await peer.next("pong"))["ref"] == json.loads("[" * 50 + "]" * 50)
    await peer.communicator.send_to(text_data='{"type":"ping","ref":' + "[" * 20_000 + "]" * 20_000 + "}")
    assert (await peer.next("error"))["code"] == "bad_frame"
    assert peer.socket.is_open


async def test_half_an_emoji_is_a_fault_of_one_message(alice, bob):
    """It names `ref` and `client_msg_id`, so that the client can drop that message, and is no bad frame."""
    peer, room = await connect(alice), await group(alice, bob)
    name = str(uuid.uuid4())
    for place in range(8):
        await peer.communicator.send_to(
            text_data=json.dumps(
                {
                    "type": "message",
                    "conversation_uuid": str(room.uuid),
                    "content": "half \ud83d",
                    "client_msg_id": name,
                    "ref": place,
                }
            )
        )
        refusal = await peer.next("error")
        assert (refusal["code"], refusal["ref"], refusal["client_msg_id"]) == ("validation_error", place, name)
    assert peer.socket.is_open


async def test_a_ref_of_half_an_emoji_is_left_out_of_the_refusal(alice):
    peer = await connect(alice)
    await peer.communicator.send_to(text_data='{"type":"ping","ref":"\\ud83d"}')
    refusal = await peer.next("error")
    assert refusal["code"] == "validation_error"
    assert "ref" not in refusal


async def test_who_comes_back_is_shown_again_though_they_were_looked_for_meanwhile(alice, bob, charlie, here):
    await group(alice, bob, charlie)
    first, second, there = await connect(alice), await connect(charlie), await connect(bob)
    here.presence.tick(time.monotonic())
    await first.send("presence", user_ids=[bob.id])
    assert (await first.next("presence"))["users"][0]["online"] is True
    await there.leave()
    await asyncio.gather(*here.tasks)
    await second.send("presence", user_ids=[bob.id])
    for peer in (second, first):  # what one is told the other is told
        assert (await peer.next("presence"))["users"][0]["online"] is False
    again = await connect(bob)
    here.presence.tick(time.monotonic())
    for peer in (second, first):
        assert (await peer.next("presence"))["users"][0]["online"] is True
    assert again.socket.is_open


async def test_a_receipt_that_was_overtaken_is_not_told(alice, bob, here):
    room = await group(alice, bob)
    peer = await connect(alice)

    def seen(up_to_seq: int) -> Receipt:
        return Receipt(
            conversation_id=room.pk, conversation_uuid=room.uuid, user_id=bob.id, up_to_seq=up_to_seq, moved=True,
            shared=True,
        )  # fmt: skip

    here.receipts.show_here(seen(3))
    here.receipts.show_here(seen(2))  # from another process, late
    assert [frame["up_to_seq"] for frame in await peer.waiting()] == [3]


async def test_a_flood_is_a_twentieth_beyond_the_limit(alice, settings):
    settings.CHAT_FRAMES_PER_MINUTE = 240
    peer = await connect(alice)
    for _ in range(240 + 13):
        await peer.send("ping")
    refused = 0
    while (frame := await peer.next("error", "bye"))["type"] == "error":
        refused += 1
    assert (refused, frame["code"], frame["close"]) == (12, "throttled", 4429)
    assert await peer.close_code() == 4429


async def test_nothing_comes_before_hello(alice, here, settings, monkeypatch):
    settings.CHAT_TOKEN_EXPIRING = 10**6
    monkeypatch.setattr(clock, "TICK_SECONDS", 0.01)
    subscribe = hub.Hub._subscribe

    async def slowly(self, groups: set[str]) -> bool:
        await asyncio.sleep(0.05)
        return await subscribe(self, groups)

    monkeypatch.setattr(hub.Hub, "_subscribe", slowly)
    ticking = asyncio.ensure_future(here.clock.tick())
    peer = await connect(alice, token=alice.access)
    assert [(await peer.next())["type"] for _ in range(2)] == ["hello", "token_expiring"]
    ticking.cancel()


async def test_the_eleventh_socket_of_a_person_supersedes_the_oldest(alice, settings):
    settings.CHAT_SOCKETS_PER_SESSION, settings.CHAT_SOCKETS_PER_USER = 20, 10
    opened = [await connect(alice) for _ in range(11)]
    assert await opened[0].close_code() == 4506
    assert all(peer.socket.is_open for peer in opened[1:])


async def test_presence_needs_a_conversation_consent_and_no_block(alice, bob, charlie):
    from django.utils import timezone

    from chat.models import Block, ChatSettings

    await group(alice, bob)
    visible = await run(presence.visible, {alice.id: [bob.id, charlie.id]})
    assert visible == {alice.id: {bob.id}}
    watcher = await connect(alice)
    there = await connect(bob)
    await watcher.send("presence", user_ids=[bob.id, charlie.id])
    shown = {one["user_id"]: one["online"] for one in (await watcher.next("presence"))["users"]}
    assert shown == {bob.id: True, charlie.id: False}
    block = await run(Block.objects.create, blocker_id=bob.id, blocked_id=alice.id, created_at=timezone.now())
    assert (await watcher.next("presence"))["users"][0]["online"] is False
    await run(block.delete)
    assert (await watcher.next("presence"))["users"][0]["online"] is True
    await run(ChatSettings.objects.create, user_id=bob.id, share_presence=False)
    assert (await watcher.next("presence"))["users"][0]["online"] is False
    assert there.socket.is_open


async def test_a_receipt_is_not_told_by_who_does_not_share_it(alice, bob):
    from chat.models import ChatSettings

    room = await group(alice, bob)
    await say(alice, room)
    await run(ChatSettings.objects.create, user_id=bob.id, share_receipts=False)
    other, own, second = await connect(alice), await connect(bob), await connect(bob)
    await own.send("mark_as_seen", conversation_uuid=str(room.uuid), up_to_seq=4)
    assert (await second.next("receipt"))["up_to_seq"] == 4
    assert await other.waiting() == []
    await own.send("mark_as_seen", conversation_uuid=str(room.uuid), up_to_seq=2)
    assert (await own.next("receipt"))["up_to_seq"] == 4  # only ever forwards


async def test_mark_as_seen_means_what_was_sent_on_this_socket(alice, bob, here):
    room = await group(alice, bob)
    await say(alice, room)
    peer = await connect(bob)
    await say(alice, room, "told here")
    await peer.events(1)
    feed = next(iter(peer.socket.feeds))
    publish, Process.publish = Process.publish, lambda self, batch: None
    await say(alice, room, "not told yet")
    await peer.send("mark_as_seen", conversation_uuid=str(room.uuid))
    assert (await peer.next("receipt"))["up_to_seq"] == feed.head == 5
    Process.publish = publish  # type: ignore[method-assign]


async def test_who_is_blocked_shows_no_typing(alice, bob):
    from django.utils import timezone

    from chat.models import Block

    room, _created = await run(conversations.open_direct, user_id=alice.id, other_id=bob.id)
    here_, there = await connect(alice), await connect(bob)
    await here_.send("typing", conversation_uuid=str(room.uuid), active=True)
    assert (await there.next("typing"))["active"] is True
    await here_.send("typing", conversation_uuid=str(room.uuid), active=False)
    assert (await there.next("typing"))["active"] is False
    await run(Block.objects.create, blocker_id=bob.id, blocked_id=alice.id, created_at=timezone.now())
    await here_.send("typing", conversation_uuid=str(room.uuid), active=True)
    assert (await here_.next("error"))["code"] == "blocked"
    assert await there.waiting() == []


async def test_who_is_blocked_while_typing_is_shown_no_longer(alice, bob, settings):
    from django.utils import timezone

    from chat.models import Block

    room, _created = await run(conversations.open_direct, user_id=alice.id, other_id=bob.id)
    here_, there = await connect(alice), await connect(bob)
    await here_.send("typing", conversation_uuid=str(room.uuid), active=True)
    assert (await there.next("typing"))["active"] is True
    await run(Block.objects.create, blocker_id=bob.id, blocked_id=alice.id, created_at=timezone.now())
    here_.socket.typing[room.pk] -= settings.CHAT_TYPING_SECONDS + 1  # checked so long ago; each repeat keeps it shown
    await here_.send("typing", conversation_uuid=str(room.uuid), active=True)
    assert (await here_.next("error"))["code"] == "blocked"
    assert (await there.next("typing"))["active"] is False
    assert await there.waiting() == []


async def test_who_sat_at_a_process_that_drains_is_shown_as_gone_by_the_others(alice, bob, here, monkeypatch):
    await group(alice, bob)
    watcher, there = await connect(alice), await connect(bob)
    await watcher.send("presence", user_ids=[bob.id])
    assert (await watcher.next("presence"))["users"][0]["online"] is True
    told: list[dict[str, Any]] = []
    elsewhere = Process(asyncio.get_running_loop())  # bob's process, which is about to stop
    monkeypatch.setattr(elsewhere, "tell_others", lambda group, message: told.append(message))
    elsewhere.hub.sockets["bob"] = there.socket
    here.hub.by_user.pop(bob.id)
    await elsewhere.drain()
    await there.leave()
    await asyncio.gather(*here.tasks)
    here.presence.leaving.clear()  # what this process alone would know of it
    [message] = told
    here.on_message(wire.to_wire(message))
    here.presence.tick(time.monotonic() + 1)
    assert await watcher.waiting() == []  # perhaps on their way back
    here.presence.tick(time.monotonic() + 6)
    assert (await watcher.next("presence"))["users"][0]["online"] is False
    await elsewhere.stop()


async def test_a_drain_says_goodbye_to_everybody_with_spread_returns(alice, bob, here):
    opened = [await connect(one) for one in (alice, alice, bob, bob)]
    await here.drain()
    waits = set()
    for peer in opened:
        bye = await peer.next("bye")
        assert (bye["code"], bye["close"]) == ("server_drain", 4410)
        waits.add(bye["reconnect_in_ms"])
        assert await peer.close_code() == 4410
    assert len(waits) > 1
    late = await connect(alice, token=alice.access)
    assert (await late.next("error"))["code"] == "temporarily_unavailable"
    assert await late.close_code() == 4410


async def test_what_nobody_foresaw_is_an_error_and_the_socket_lives_on(alice, monkeypatch):
    from chat.socket import handlers

    def broken(*given: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setitem(handlers._HANDLERS, handlers.PingFrame, broken)
    peer = await connect(alice)
    await peer.send("ping", ref="r")
    error = await peer.next("error")
    assert (error["code"], error["ref"], error["retryable"]) == ("internal", "r", True)
    assert "secret" not in error["detail"]


async def test_two_parallel_identical_sends_over_both_transports_are_one_message(alice, bob):
    room = await group(alice, bob)
    peer = await connect(alice)
    name = uuid.uuid4()
    over_rest = [asyncio.ensure_future(say(alice, room, "once", client_msg_id=name)) for _ in range(3)]
    for _ in range(3):
        await peer.send("message", conversation_uuid=str(room.uuid), content="once", client_msg_id=str(name))
    acks = [await peer.next("ack", "error") for _ in range(3)]
    sent = await asyncio.gather(*over_rest)
    assert {ack["type"] for ack in acks} == {"ack"}
    assert {ack["seq"] for ack in acks} | {one.seq for one in sent} == {4}
    assert [ack["duplicate"] for ack in acks].count(False) + [one.duplicate for one in sent].count(False) == 1
    assert await run(Event.objects.filter(kind="message.created").count) == 1


def test_a_feed_gives_up_waiting_for_what_does_not_exist():
    class Nobody:
        delivered = 0

    feed = Feed(Nobody(), 1, uuid.uuid4(), 5)  # type: ignore[arg-type]
    feed.receive([Encoded(7, "message.created", b"{}")])
    assert feed.has_hole
    feed.receive([Encoded(6, "message.created", b"{}")])
    assert not feed.has_hole
    assert feed.head == 7
    assert feed.pending == {}


async def test_a_sent_message_is_a_receipt_to_ones_other_sockets_and_not_to_its_own(alice, bob):
    room = await group(alice, bob)
    sender, other = await connect(alice), await connect(alice)
    await sender.send("message", conversation_uuid=str(room.uuid), content="Hello", ref=1)
    receipt = await other.next("receipt")
    assert (receipt["user_id"], receipt["conversation_uuid"]) == (alice.id, str(room.uuid))
    assert {frame["type"] for frame in [await sender.next(), await sender.next()]} == {"ack", "events"}
    assert await sender.waiting() == []
