"""Contract §4 and §5 from outside."""

import uuid

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests import live
from tests.contract.conftest import PASSWORD, Person, Server, Socket, assert_envelope, http

pytestmark = pytest.mark.live

MESSAGE_KEYS = {
    "uuid", "conversation_uuid", "seq", "sender", "content", "client_msg_id", "reply_to", "attachments", "reactions",
    "mentions", "created_at", "edited_at", "deleted_at",
}  # fmt: skip
CONVERSATION_KEYS = {
    "uuid", "kind", "title", "members_count", "members", "last_message", "last_seq", "seen_seq", "unread_count",
    "mention_count", "muted_until", "pinned", "archived", "my_role", "history_visible", "created_at", "updated_at",
}  # fmt: skip


def new_id() -> str:
    return str(uuid.uuid4())


# --- REST -------------------------------------------------------------------------------------------------------------


def test_two_people_have_one_direct_conversation(alice: Person, bob: Person) -> None:
    first = alice.post("chat/conversations/", {"kind": "direct", "user_id": bob.id})
    assert first.status_code == 201
    assert set(first.json()) >= CONVERSATION_KEYS
    again = bob.post("chat/conversations/", {"kind": "direct", "user_id": alice.id})
    assert again.status_code == 200
    assert again.json()["uuid"] == first.json()["uuid"]
    assert_envelope(alice.post("chat/conversations/", {"kind": "direct", "user_id": alice.id}), 400, "validation_error")
    assert_envelope(alice.post("chat/conversations/", {"kind": "nonsense"}), 400, "validation_error")
    assert_envelope(alice.post("chat/conversations/", {"kind": "direct"}), 400, "validation_error")


@pytest.mark.promise
def test_a_message_is_stored_once_whatever_is_repeated(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    body = {"content": "Hello", "client_msg_id": new_id()}
    path = f"chat/conversations/{conversation}/messages/"
    first = alice.post(path, body)
    assert first.status_code == 201
    assert set(first.json()) == MESSAGE_KEYS
    again = alice.post(path, body)
    assert again.status_code == 200
    assert again.json()["uuid"] == first.json()["uuid"]
    assert_envelope(alice.post(path, {**body, "content": "Other"}), 409, "idempotency_conflict")
    assert len(alice.get(path).json()["results"]) == 1
    assert set(alice.get(path).json()) == {"results", "has_more"}


def test_history_pages_by_seq(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    sent = [alice.say(conversation, f"m{index}")["seq"] for index in range(7)]
    path = f"chat/conversations/{conversation}/messages/"
    newest = bob.get(path + "?limit=3").json()
    assert [row["seq"] for row in newest["results"]] == sent[-3:]
    assert newest["has_more"] is True
    before = bob.get(f"{path}?before_seq={sent[-3]}&limit=3").json()
    assert [row["seq"] for row in before["results"]] == sent[1:4]
    after = bob.get(f"{path}?after_seq={sent[4]}").json()
    assert [row["seq"] for row in after["results"]] == sent[5:]
    assert after["has_more"] is False
    assert bob.get(path.replace(conversation, conversation.upper()) + "?limit=&before_seq=").status_code == 200
    assert len(bob.get(path + "?limit=1000").json()["results"]) == len(sent)  # counts as 100
    assert_envelope(bob.get(path + "?limit=x"), 400, "validation_error")


def test_strangers_find_nothing(alice: Person, bob: Person, charlie: Person) -> None:
    conversation = alice.direct(bob)
    message = alice.say(conversation, "secret")
    for method, path, body in (
        ("GET", f"chat/conversations/{conversation}/", None),
        ("PATCH", f"chat/conversations/{conversation}/", {"title": "x"}),
        ("GET", f"chat/conversations/{conversation}/messages/", None),
        ("POST", f"chat/conversations/{conversation}/messages/", {"content": "x", "client_msg_id": new_id()}),
        ("GET", f"chat/conversations/{conversation}/members/", None),
        ("POST", f"chat/conversations/{conversation}/members/", {"user_ids": [charlie.id]}),
        ("POST", f"chat/conversations/{conversation}/leave/", {}),
        ("POST", f"chat/conversations/{conversation}/seen/", {"up_to_seq": 1}),
        ("PATCH", f"chat/conversations/{conversation}/settings/", {"pinned": True}),
        ("PATCH", f"chat/messages/{message['uuid']}/", {"content": "x"}),
        ("DELETE", f"chat/messages/{message['uuid']}/", None),
        ("PUT", f"chat/messages/{message['uuid']}/reactions/👍/", None),
        ("POST", "chat/reports/", {"message_uuid": message["uuid"], "reason": "spam"}),
        ("GET", "chat/conversations/nonsense/", None),
        ("GET", f"chat/conversations/{new_id()}/", None),
    ):
        assert_envelope(charlie.call(method, path, body), 404, "not_found")


def test_edit_delete_and_react(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    uuid_ = alice.say(conversation, "first")["uuid"]
    assert_envelope(bob.call("PATCH", f"chat/messages/{uuid_}/", {"content": "x"}), 403, "permission_denied")
    edited = alice.call("PATCH", f"chat/messages/{uuid_}/", {"content": "second"})
    assert edited.status_code == 200
    assert edited.json()["content"] == "second"
    assert edited.json()["edited_at"]
    assert bob.call("PUT", f"chat/messages/{uuid_}/reactions/👍/").status_code in (200, 204)
    assert_envelope(bob.call("PUT", f"chat/messages/{uuid_}/reactions/nonsense/"), 400, "validation_error")
    row = bob.get(f"chat/conversations/{conversation}/messages/").json()["results"][0]
    assert row["reactions"] == [{"emoji": "👍", "count": 1, "mine": True}]
    assert bob.call("DELETE", f"chat/messages/{uuid_}/reactions/👍/").status_code in (200, 204)
    assert_envelope(bob.call("DELETE", f"chat/messages/{uuid_}/"), 403, "permission_denied")
    assert alice.call("DELETE", f"chat/messages/{uuid_}/").status_code in (200, 204)
    gone = bob.get(f"chat/conversations/{conversation}/messages/").json()["results"][0]
    assert gone["content"] == ""
    assert gone["deleted_at"]
    assert_envelope(alice.call("PATCH", f"chat/messages/{uuid_}/", {"content": "x"}), 404, "not_found")


def test_unread_counts_messages_and_sending_marks_as_seen(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    message = alice.say(conversation, f"Hi @{bob.username}")
    bob.call("PUT", f"chat/messages/{message['uuid']}/reactions/👍/")
    alice.say(conversation, "two")

    def row(person: Person) -> dict:
        return person.get(f"chat/conversations/{conversation}/").json()

    assert (row(bob)["unread_count"], row(bob)["mention_count"]) == (2, 1)
    assert row(alice)["unread_count"] == 0
    assert bob.post(f"chat/conversations/{conversation}/seen/", {"up_to_seq": 10_000}).status_code in (200, 204)
    assert (row(bob)["unread_count"], row(bob)["mention_count"]) == (0, 0)
    seen = row(bob)["seen_seq"]
    bob.post(f"chat/conversations/{conversation}/seen/", {"up_to_seq": 1})
    assert row(bob)["seen_seq"] == seen
    bob.say(conversation, "answer")
    assert row(alice)["unread_count"] == 1
    assert row(alice)["last_message"]["content"] == "answer"


def test_groups_have_roles(alice: Person, bob: Person, charlie: Person) -> None:
    group = alice.group(bob, title="Friends")
    path = f"chat/conversations/{group}/"
    assert bob.get(path).json()["my_role"] == "member"
    assert_envelope(bob.call("PATCH", path, {"title": "x"}), 403, "permission_denied")
    assert_envelope(bob.post(path + "members/", {"user_ids": [charlie.id]}), 403, "permission_denied")
    assert alice.post(path + "members/", {"user_ids": [charlie.id]}).status_code == 200
    assert alice.call("PATCH", f"{path}members/{bob.id}/", {"role": "admin"}).status_code == 200
    assert bob.call("PATCH", path, {"title": "Better", "description": "d"}).json()["title"] == "Better"
    assert bob.call("DELETE", f"{path}members/{charlie.id}/").status_code in (200, 204)
    assert_envelope(charlie.get(path), 404, "not_found")
    assert_envelope(bob.call("DELETE", f"{path}members/{alice.id}/"), 403, "permission_denied")
    assert alice.post(path + "leave/").status_code in (200, 204)
    assert bob.get(path).json()["my_role"] == "owner"
    members = bob.get(path + "members/").json()["results"]
    assert set(members[0]) == {"user", "role", "seen_seq", "joined_at", "online", "last_seen_at"}


def test_personal_settings_of_a_conversation(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    path = f"chat/conversations/{conversation}/settings/"
    answer = alice.call("PATCH", path, {"pinned": True, "archived": True, "muted_until": "2030-01-01T00:00:00Z"})
    assert answer.status_code == 200
    row = alice.get(f"chat/conversations/{conversation}/").json()
    assert (row["pinned"], row["archived"], row["muted_until"]) == (True, True, "2030-01-01T00:00:00.000Z")
    assert alice.get("chat/conversations/?archived=true").json()["results"][0]["uuid"] == conversation
    assert alice.get("chat/conversations/?archived=false").json()["results"] == []
    assert bob.get(f"chat/conversations/{conversation}/").json()["pinned"] is False


def test_a_blocked_person_cannot_write_or_open(alice: Person, bob: Person, charlie: Person) -> None:
    conversation = alice.direct(bob)
    assert alice.post("chat/blocks/", {"user_id": bob.id}).status_code in (200, 201)
    body = {"content": "x", "client_msg_id": new_id()}
    assert_envelope(bob.post(f"chat/conversations/{conversation}/messages/", body), 403, "blocked")
    assert alice.post("chat/blocks/", {"user_id": charlie.id}).status_code in (200, 201)
    assert_envelope(charlie.post("chat/conversations/", {"kind": "direct", "user_id": alice.id}), 403, "blocked")
    assert alice.call("DELETE", f"chat/blocks/{bob.id}/").status_code == 204
    assert bob.post(f"chat/conversations/{conversation}/messages/", body).status_code == 201


def test_content_has_its_limits(alice: Person, bob: Person) -> None:
    path = f"chat/conversations/{alice.direct(bob)}/messages/"
    for content in ("", " " * 3, "x" * 4_001, None, 7, "nul\x00"):
        assert_envelope(alice.post(path, {"content": content, "client_msg_id": new_id()}), 400, "validation_error")
    assert alice.post(path, {"content": "x" * 4_000, "client_msg_id": new_id()}).status_code == 201


# --- The socket -------------------------------------------------------------------------------------------------------


def test_the_handshake_selects_access_token_and_says_hello(alice: Person) -> None:
    with alice.socket() as socket:
        assert socket.raw.subprotocol == "access_token"
        assert alice.access not in str(socket.raw.response.headers)
        hello = socket.receive()
        assert hello["type"] == "hello"
        assert hello["v"] == 1
        assert hello["session_id"] == alice.login["session"]["id"]
        assert hello["user_id"] == alice.id
        assert hello["heartbeat_interval_ms"] == 25_000
        assert hello["limits"] == {"frame_bytes": 65_536, "content_chars": 4_000, "messages_per_10s": 20}
        assert {"connection_id", "epoch", "server_time", "token_expires_at"} <= set(hello)


def test_a_bad_token_is_told_and_closed_with_4401(server: Server, alice: Person) -> None:
    for token in ("nonsense", alice.login["refresh"], alice.access[:-3] + "abc"):
        socket = Socket(server.ws + "/ws/chat/", token)
        assert socket.raw.subprotocol == "access_token"
        error = socket.receive()
        assert (error["type"], error["code"]) == ("error", "token_not_valid")
        assert socket.closed() == 4401


def test_a_missing_token_is_4401_and_no_subprotocol_403(server: Server, alice: Person) -> None:
    with connect(server.ws + "/ws/chat/", subprotocols=["access_token"]) as raw:  # type: ignore[list-item]
        socket = Socket.__new__(Socket)
        socket.raw = raw
        assert socket.receive()["code"] == "token_not_valid"
        assert socket.closed() == 4401
    for path in ("/ws/chat/", f"/ws/chat/?token={alice.access}", "/ws/nothing/"):
        with pytest.raises(InvalidStatus) as refusal:
            connect(server.ws + path)
        assert refusal.value.response.status_code in (403, 404)
    with pytest.raises(InvalidStatus) as refusal:
        alice.socket(f"/ws/chat/?token={alice.access}")
    assert refusal.value.response.status_code == 403


def test_the_origin_must_be_allowed_when_sent(server: Server, alice: Person) -> None:
    for origin in ("https://app.example.com", server.base):
        socket = Socket(server.ws + "/ws/chat/", alice.access, origin=origin)
        assert socket.receive()["type"] == "hello"
        socket.close()
    with pytest.raises(InvalidStatus) as refusal:
        Socket(server.ws + "/ws/chat/", alice.access, origin="https://evil.example")
    assert refusal.value.response.status_code == 403


def test_a_message_is_acknowledged_and_reaches_the_other_and_oneself(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    with alice.socket() as a, bob.socket() as b:
        a.until("hello"), b.until("hello")
        message_id = new_id()
        a.send(type="message", conversation_uuid=conversation, content="Hello!", client_msg_id=message_id, ref="r1")
        own = []
        ack = None
        for _ in range(2):
            frame = a.receive()
            if frame["type"] == "ack":
                ack = frame
            else:
                own += frame["events"]
        assert ack is not None
        assert ack["ref"] == "r1"
        assert ack["client_msg_id"] == message_id
        assert ack["duplicate"] is False
        assert {"message_uuid", "conversation_uuid", "seq", "created_at"} <= set(ack)
        (event,) = b.events(1, kind="message.created")
        assert set(event) == {"conversation_uuid", "seq", "kind", "at", "actor_id", "data"}
        assert event["seq"] == ack["seq"]
        assert event["actor_id"] == alice.id
        assert set(event["data"]) == MESSAGE_KEYS
        assert event == own[0]
        a.send(type="message", conversation_uuid=conversation, content="Hello!", client_msg_id=message_id)
        assert a.until("ack")["duplicate"] is True
        a.send(type="message", conversation_uuid=conversation, content="Other", client_msg_id=message_id, ref=7)
        error = a.until("error")
        assert (error["code"], error["ref"], error["retryable"]) == ("idempotency_conflict", 7, False)


@pytest.mark.promise
def test_a_retry_over_rest_is_the_same_message(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    with alice.socket() as a:
        a.until("hello")
        message_id = new_id()
        a.send(type="message", conversation_uuid=conversation, content="once", client_msg_id=message_id)
        ack = a.until("ack")
    answer = alice.post(
        f"chat/conversations/{conversation}/messages/", {"content": "once", "client_msg_id": message_id}
    )
    assert answer.status_code == 200
    assert answer.json()["uuid"] == ack["message_uuid"]


def test_the_default_conversation_of_the_path(alice: Person, bob: Person, charlie: Person) -> None:
    conversation = alice.direct(bob)
    with alice.socket() as bare:
        bare.until("hello")
        bare.send(type="message", content="Hello!")
        assert bare.until("error")["code"] == "conversation_required"
    with alice.socket(f"/ws/chat/{conversation}/") as a:
        a.until("hello")
        a.send(type="message", content="Hello!")
        assert a.until("ack")["conversation_uuid"] == conversation
    with charlie.socket(f"/ws/chat/{conversation}/") as c:
        assert c.until("error")["code"] == "not_found"
        c.send(type="message", content="Hello!")
        assert c.until("error")["code"] == "conversation_required"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "bad_frame"),
        ("[]", "bad_frame"),
        ('"x"', "bad_frame"),
        ('{"no": "type"}', "bad_frame"),
        ('{"type": 7}', "bad_frame"),
        ('{"type": "session.revoked"}', "unknown_type"),
        ('{"type": "hello"}', "unknown_type"),
        ('{"type": "message", "conversation_uuid": "nonsense", "content": "x"}', "validation_error"),
        ('{"type": "typing"}', "conversation_required"),
        ('{"type": "edit", "content": "x"}', "validation_error"),
    ],
)
def test_bad_frames_are_told(alice: Person, frame: str, code: str) -> None:
    with alice.socket() as socket:
        socket.until("hello")
        socket.raw.send(frame)
        error = socket.until("error")
        assert error["code"] in {code, "validation_error"} if code == "conversation_required" else error["code"] == code
        socket.send(type="ping")
        assert socket.until("pong")["server_time"]


def test_five_bad_frames_or_a_binary_one_end_the_socket(alice: Person) -> None:
    socket = alice.socket()
    socket.until("hello")
    for _ in range(5):
        socket.raw.send("{")
    assert socket.closed() == 4507
    socket = alice.socket()
    socket.until("hello")
    socket.raw.send(b"binary")
    assert socket.closed() == 4507


def test_a_frame_over_64_kib_is_1009(alice: Person) -> None:
    socket = alice.socket()
    socket.until("hello")
    socket.raw.send('{"type": "' + "x" * 70_000 + '"}')
    assert socket.closed() == 1009


@pytest.mark.promise
def test_resume_delivers_what_was_missed_once_and_in_order(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    with bob.socket() as b:
        epoch = b.until("hello")["epoch"]
        first = alice.say(conversation, "m0")["seq"]
        assert b.events(1, kind="message.created")[0]["seq"] == first
    missed = [alice.say(conversation, f"m{index}")["seq"] for index in range(1, 6)]
    with bob.socket() as b:
        b.until("hello")
        b.send(type="resume", epoch=epoch, cursors={conversation: first}, ref="x")
        got = []
        while True:
            frame = b.receive()
            if frame["type"] == "events":
                got += [event["seq"] for event in frame["events"]]
            if frame["type"] == "resumed":
                break
        assert got == missed
        live = alice.say(conversation, "live")["seq"]
        assert b.events(1)[0]["seq"] == live


def test_cursors_of_another_epoch_or_beyond_the_head_are_a_gap(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    seq = alice.say(conversation, "m")["seq"]
    with bob.socket() as b:
        epoch = b.until("hello")["epoch"]
        b.send(type="resume", epoch=epoch, cursors={conversation: seq + 100})
        gap = b.until("gap")
        assert (gap["conversation_uuid"], gap["last_seq"]) == (conversation, seq)
        b.until("resumed")
    with bob.socket() as b:
        b.until("hello")
        b.send(type="resume", epoch="another", cursors={conversation: seq})
        assert b.until("gap")["conversation_uuid"] == conversation
        b.until("resumed")


def test_too_far_behind_is_a_gap_not_a_flood(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    first = alice.say(conversation, "m")["seq"]
    for index in range(205):
        last = alice.say(conversation, str(index))["seq"]
    with bob.socket() as b:
        epoch = b.until("hello")["epoch"]
        b.send(type="resume", epoch=epoch, cursors={conversation: first})
        gap = b.until("gap")
        assert (gap["from_seq"], gap["last_seq"]) == (first + 1, last)
        b.until("resumed")
        b.send(type="sync", conversation_uuid=conversation, after_seq=last - 3)
        assert [event["seq"] for event in b.until("events")["events"]] == [last - 2, last - 1, last]


@pytest.mark.promise
def test_a_removed_member_gets_nothing_more(alice: Person, bob: Person, charlie: Person) -> None:
    group = alice.group(bob, charlie)
    head = alice.get(f"chat/conversations/{group}/").json()["last_seq"]
    with charlie.socket() as c:
        epoch = c.until("hello")["epoch"]
        alice.call("DELETE", f"chat/conversations/{group}/members/{charlie.id}/")
        left = c.events(1, kind="member.left")[0]
        c.until("removed", conversation_uuid=group)
        alice.say(group, "not for charlie")
        with pytest.raises(TimeoutError):
            c.receive(1)
        c.send(type="message", conversation_uuid=group, content="x", client_msg_id=new_id())
        assert c.until("error")["code"] == "not_found"
    with charlie.socket() as c:
        c.until("hello")
        c.send(type="resume", epoch=epoch, cursors={group: head})
        frames = []
        while not frames or frames[-1]["type"] != "resumed":
            frames.append(c.receive())
        seqs = [event["seq"] for frame in frames if frame["type"] == "events" for event in frame["events"]]
        assert all(seq <= left["seq"] for seq in seqs)
        assert any(frame["type"] == "removed" for frame in frames)


def test_a_new_member_sees_from_the_join_on(alice: Person, bob: Person, charlie: Person) -> None:
    closed, open_ = alice.group(bob), alice.group(bob, history_visible=True)
    for group in (closed, open_):
        alice.say(group, "before")
        alice.post(f"chat/conversations/{group}/members/", {"user_ids": [charlie.id]})
        alice.say(group, "after")

    def contents(group: str) -> list[str]:
        return [row["content"] for row in charlie.get(f"chat/conversations/{group}/messages/").json()["results"]]

    assert contents(closed) == ["after"]
    assert contents(open_) == ["before", "after"]
    assert charlie.get(f"chat/conversations/{closed}/").json()["unread_count"] == 1


def test_a_newly_added_member_is_live_at_once(alice: Person, bob: Person, charlie: Person) -> None:
    group = alice.group(bob)
    with charlie.socket() as c:
        c.until("hello")
        alice.post(f"chat/conversations/{group}/members/", {"user_ids": [charlie.id]})
        alice.say(group, "welcome")
        kinds = [event["kind"] for event in c.events(2)]
        assert kinds == ["member.joined", "message.created"]


def test_receipts_typing_and_presence(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    seq = alice.say(conversation, "m")["seq"]
    with alice.socket() as a:
        a.until("hello")
        a.send(type="presence", user_ids=[bob.id])
        assert a.until("presence")["users"][0]["online"] is False
        with bob.socket() as b:
            b.until("hello")
            assert a.until("presence")["users"][0]["online"] is True
            b.send(type="mark_as_seen", conversation_uuid=conversation)
            receipt = a.until("receipt")
            assert (receipt["user_id"], receipt["up_to_seq"]) == (bob.id, seq)
            b.send(type="typing", conversation_uuid=conversation, active=True)
            typing = a.until("typing")
            assert (typing["user_id"], typing["active"]) == (bob.id, True)
            assert a.until("typing")["active"] is False
        assert a.until("presence")["users"][0]["online"] is False


def test_refresh_and_authenticate_keep_the_socket(server: Server, alice: Person, bob: Person) -> None:
    with alice.socket() as a:
        a.until("hello")
        new = http.post(server.base + "/api/auth/token/refresh/", json={"refresh": alice.login["refresh"]}).json()
        a.send(type="authenticate", token=new["access"])
        assert a.until("authenticated")["token_expires_at"]
        a.send(type="authenticate", token=bob.access)
        assert a.until("error")["code"] == "permission_denied"


@pytest.mark.promise
def test_revoking_a_session_closes_its_socket(alice: Person) -> None:
    other = alice.sign_in()
    socket = alice.socket(access=other["access"])
    socket.until("hello")

    def counted() -> int:
        rows = alice.get("users/sessions/").json()["results"]
        return int(next(row for row in rows if row["id"] == other["session"]["id"])["sockets"])

    live.wait_for(counted, 1)
    alice.post(f"users/sessions/{other['session']['id']}/revoke/")
    assert socket.until("bye")["code"] == "session_revoked"
    assert socket.closed() == 4503
    again = alice.socket(access=other["access"])
    assert again.receive()["type"] == "error"
    assert again.closed() == 4503


@pytest.mark.promise
def test_closing_the_account_closes_its_sockets(alice: Person) -> None:
    socket = alice.socket()
    socket.until("hello")
    alice.call("DELETE", "users/me/", {"password": PASSWORD})
    assert socket.closed() in (4503, 4504)


def test_the_fourth_socket_of_a_session_supersedes_the_oldest(alice: Person) -> None:
    sockets = [alice.socket() for _ in range(4)]
    for socket in sockets:
        socket.until("hello")
    assert sockets[0].closed() == 4506
    sockets[3].send(type="ping")
    assert sockets[3].until("pong")
    for socket in sockets[1:]:
        socket.close()


def test_messages_are_throttled_per_socket(alice: Person, bob: Person) -> None:
    conversation = alice.direct(bob)
    with alice.socket() as a:
        a.until("hello")
        for index in range(21):
            a.send(type="message", conversation_uuid=conversation, content=str(index), client_msg_id=new_id())
        error = a.until("error")
        assert (error["code"], error["retryable"]) == ("throttled", True)
        assert error["retry_after_ms"] > 0
