"""The exact keys of what the chat answers and tells, each kind once."""

import io
import json
import uuid
from typing import Any

import httpx
import pytest
from PIL import Image

from tests import live

from .conftest import Person, Server, assert_envelope, http

pytestmark = pytest.mark.live

PERSON = {"id", "username", "first_name", "last_name"}
MESSAGE = {
    "uuid", "conversation_uuid", "seq", "sender", "content", "client_msg_id", "reply_to", "attachments", "reactions",
    "mentions", "created_at", "edited_at", "deleted_at",
}  # fmt: skip
REACTION = {"message_uuid", "emoji", "user_id"}
MEMBER = {"user", "role"}
CONVERSATION = {"uuid", "kind", "title", "description"}
DATA = {
    "conversation.created": CONVERSATION, "conversation.updated": CONVERSATION,
    "member.joined": MEMBER, "member.left": MEMBER, "member.role_changed": MEMBER,
    "message.created": MESSAGE, "message.edited": MESSAGE, "message.deleted": MESSAGE,
    "reaction.added": REACTION, "reaction.removed": REACTION,
}  # fmt: skip
ATTACHMENT = {
    "uuid", "kind", "name", "content_type", "size", "width", "height", "duration_ms", "thumbhash", "waveform",
    "thumbnail_url", "url",
}  # fmt: skip


def picture(alice: Person) -> dict[str, Any]:
    """Upload a picture and return its description, once it is ready: on a busy machine a moment later."""
    drawn = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(drawn, "PNG")
    answer = alice.call("POST", "chat/attachments/", files={"file": ("red.png", drawn.getvalue(), "image/png")})
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) - {"state"} == ATTACHMENT
    path = f"chat/attachments/{answer.json()['uuid']}/meta/"
    return live.wait_for(lambda: dict(alice.get(path).json()), lambda known: known["state"] == "ready")


def test_every_kind_of_event_has_its_data(alice: Person, bob: Person, charlie: Person) -> None:
    with bob.socket() as listener:
        listener.until("hello")
        group = alice.group(bob)
        message = alice.say(group, "hello")["uuid"]
        for method, path, body in [
            ("PATCH", f"chat/messages/{message}/", {"content": "hullo"}),
            ("PUT", f"chat/messages/{message}/reactions/👍/", {}),
            ("DELETE", f"chat/messages/{message}/reactions/👍/", {}),
            ("DELETE", f"chat/messages/{message}/", {}),
            ("POST", f"chat/conversations/{group}/members/", {"user_ids": [charlie.id]}),
            ("PATCH", f"chat/conversations/{group}/members/{charlie.id}/", {"role": "admin"}),
            ("DELETE", f"chat/conversations/{group}/members/{charlie.id}/", {}),
            ("PATCH", f"chat/conversations/{group}/", {"title": "New", "description": "of it"}),
        ]:
            assert alice.call(method, path, body).status_code in (200, 204), path
        events = listener.events(12)
    assert [event["seq"] for event in events] == list(range(1, 13))
    assert {event["kind"] for event in events} == set(DATA)
    for event in events:
        assert set(event) == {"conversation_uuid", "seq", "kind", "at", "actor_id", "data"}
        assert set(event["data"]) == DATA[event["kind"]], event
        assert event["actor_id"] == alice.id
    deleted = next(event["data"] for event in events if event["kind"] == "message.deleted")
    assert (deleted["uuid"], deleted["seq"], deleted["content"]) == (message, 4, "")
    assert deleted["deleted_at"] is not None


def test_what_a_newcomer_may_not_see_stays_hidden_live(alice: Person, bob: Person, charlie: Person) -> None:
    group = alice.group(bob)
    old = alice.say(group, "before charlie")["uuid"]
    with charlie.socket() as listener:
        listener.until("hello")
        alice.post(f"chat/conversations/{group}/members/", {"user_ids": [charlie.id]})
        alice.call("PATCH", f"chat/messages/{old}/", {"content": "still before charlie"})
        bob.call("PUT", f"chat/messages/{old}/reactions/👍/")
        bob.say(group, "an answer", reply_to=old)
        joined, edited, reacted, replied = listener.events(4)
    assert joined["kind"] == "member.joined"
    assert [edited["seq"], reacted["seq"]] == [joined["seq"] + 1, joined["seq"] + 2]
    for event in (edited, reacted):
        assert event["data"] == {"message_uuid": old, "hidden": True}
    assert replied["data"]["reply_to"] == {"uuid": old, "sender": None, "excerpt": ""}


def test_an_attachment_is_described_and_read_in_parts(alice: Person, bob: Person, charlie: Person) -> None:
    sent = picture(alice)
    assert set(sent) == ATTACHMENT | {"state"}
    assert (sent["kind"], sent["content_type"], sent["width"], sent["height"]) == ("image", "image/png", 64, 48)
    assert sent["duration_ms"] is sent["waveform"] is None
    path = f"chat/attachments/{sent['uuid']}/"
    assert_envelope(bob.get(path), 404, "not_found")
    message = alice.say(alice.direct(bob), "", attachments=[sent["uuid"]])
    assert set(message["attachments"][0]) - {"state"} == ATTACHMENT
    whole = bob.get(path)
    assert (whole.status_code, len(whole.content)) == (200, sent["size"])
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "private" in whole.headers["cache-control"]
    part = bob.get(path, headers={"Range": "bytes=2-9"})
    assert (part.status_code, part.headers["content-range"]) == (206, f"bytes 2-9/{sent['size']}")
    assert part.content == whole.content[2:10]
    assert bob.get(path + "thumbnail/").headers["content-type"].startswith("image/")
    for hidden in (path, path + "meta/", path + "thumbnail/"):
        assert_envelope(charlie.get(hidden), 404, "not_found")
    again = alice.post(f"chat/conversations/{message['conversation_uuid']}/messages/", {"attachments": [sent["uuid"]]})
    said = assert_envelope(again, 400, "validation_error")
    assert said["errors"]["attachments"][0]["code"] == "does_not_exist"
    assert alice.call("DELETE", f"chat/messages/{message['uuid']}/").status_code == 204
    assert_envelope(bob.get(path), 404, "not_found")


def test_an_upload_goes_on_where_it_was_cut(server: Server, alice: Person, bob: Person) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    begun = alice.call("POST", "chat/uploads/", headers=tus | {"Upload-Length": "10"})
    assert begun.status_code == 201
    place = begun.headers["location"].partition("/api/")[2]

    def patch(offset: int, data: bytes) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {alice.access}", "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset), **tus,
        }  # fmt: skip
        return http.patch(f"{server.base}/api/{place}", content=data, headers=headers)

    assert (patch(0, b"01234").status_code, patch(0, b"01234").status_code) == (204, 409)
    assert alice.call("HEAD", place, headers=tus).headers["upload-offset"] == "5"
    assert bob.call("HEAD", place, headers=tus).status_code == 404
    ended = patch(5, b"56789")
    assert (ended.status_code, ended.headers["upload-offset"]) == (204, "10")
    found = alice.call("HEAD", place, headers=tus).headers["attachment-uuid"]
    assert found == ended.headers["attachment-uuid"]
    assert alice.get(f"chat/attachments/{found}/").content == b"0123456789"
    assert alice.call("POST", "chat/uploads/", headers={"Upload-Length": "10"}).status_code == 412
    other = alice.call("POST", "chat/uploads/", headers=tus | {"Upload-Length": "4"}).headers["location"]
    headers = {
        "Authorization": f"Bearer {alice.access}", "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH", **tus,
    }  # fmt: skip
    assert http.post(server.base + other, content=b"0123", headers=headers).headers["upload-offset"] == "4"


def test_search_marks_what_it_found_as_browsers_count(alice: Person, bob: Person, charlie: Person) -> None:
    direct = alice.direct(bob)
    alice.say(direct, "😀 Crème brûlée, https://example.com/x")
    hidden = alice.say(direct, "creme gone")
    alice.call("DELETE", f"chat/messages/{hidden['uuid']}/")
    answer = bob.get("chat/search/", params={"q": "BRULEE creme"}).json()
    assert set(answer) >= {"results", "next"}
    [found] = answer["results"]
    assert set(found) == {"message", "highlights"}
    assert set(found["message"]) == MESSAGE
    units = found["message"]["content"].encode("utf-16-le")
    shown = [units[2 * start : 2 * end].decode("utf-16-le") for start, end in found["highlights"]]
    assert shown == ["Crème", "brûlée"]
    for none in ({"q": "creme -brulee"}, {"q": '"brulee creme"'}, {"q": "creme", "before": "2020-01-01T00:00:00Z"}):
        assert bob.get("chat/search/", params=none).json()["results"] == []
    assert len(bob.get("chat/search/", params={"q": "creme", "has": "link"}).json()["results"]) == 1
    assert charlie.get("chat/search/", params={"q": "creme"}).json()["results"] == []


def test_blocks_reports_and_settings_have_their_answers(alice: Person, bob: Person) -> None:
    direct = alice.direct(bob)
    message = bob.say(direct, "buy this")["uuid"]
    report = alice.post("chat/reports/", {"message_uuid": message, "reason": "spam"})
    assert (report.status_code, report.json()["message_uuid"]) == (201, message)
    assert alice.post("chat/blocks/", {"user_id": bob.id}).status_code == 201
    [blocked] = alice.get("chat/blocks/").json()["results"]
    assert set(blocked["user"]) == PERSON
    for refused in (
        bob.post(f"chat/conversations/{direct}/messages/", {"content": "more"}),
        bob.post("chat/conversations/", {"kind": "direct", "user_id": alice.id}),
        bob.call("PUT", f"chat/messages/{message}/reactions/👍/"),
    ):
        assert_envelope(refused, 403, "blocked")
    assert alice.call("DELETE", f"chat/blocks/{bob.id}/").status_code == 204
    bob.say(direct, "sorry")
    assert alice.get("chat/settings/").json() == {"share_receipts": True, "share_presence": True, "quiet_hours": None}
    hours = {"from": "22:00", "to": "07:00"}
    changed = alice.call("PATCH", "chat/settings/", {"share_presence": False, "quiet_hours": hours}).json()
    assert changed == {"share_receipts": True, "share_presence": False, "quiet_hours": hours}
    seen = {row["user"]["id"]: row for row in bob.get(f"chat/conversations/{direct}/members/").json()["results"]}
    assert (seen[alice.id]["online"], seen[alice.id]["last_seen_at"]) == (False, None)
    said = assert_envelope(
        alice.call("PATCH", "chat/settings/", {"quiet_hours": {"from": "25:00", "to": "07:00"}}),
        400,
        "validation_error",
    )
    assert set(said["errors"]) == {"quiet_hours"}


def test_a_push_registration_belongs_to_the_current_session(alice: Person, bob: Person) -> None:
    def path(session: str) -> str:
        return f"users/sessions/{session}/push/"

    here = alice.login["session"]["id"]
    body = {"provider": "expo", "token": "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]", "show": "sender"}
    made = alice.call("PUT", path(here), body)
    assert (made.status_code, made.json()["provider"], made.json()["show"]) == (200, "expo", "sender")
    for other in (bob.login["session"]["id"], alice.sign_in()["session"]["id"], str(uuid.uuid4())):
        assert_envelope(alice.call("PUT", path(other), body), 404, "not_found")
    private = {"endpoint": "https://10.0.0.1/x", "keys": {"p256dh": "BA", "auth": "AA"}}
    for bad, field in [
        ({**body, "show": "all"}, "show"), ({**body, "provider": "smoke"}, "provider"), ({"provider": "expo"}, "token"),
        ({"provider": "webpush", "subscription": private}, "subscription"),
    ]:  # fmt: skip
        assert set(assert_envelope(alice.call("PUT", path(here), bad), 400, "validation_error")["errors"]) == {field}
    assert alice.call("DELETE", path(here)).status_code == 204
    assert set(alice.get("users/push/key/").json()) == {"vapid_public_key"}


def test_a_closed_account_leaves_its_messages_and_no_name(alice: Person, bob: Person) -> None:
    direct = alice.direct(bob)
    bob.say(direct, "so long")
    assert bob.call("DELETE", "users/me/", {"password": bob.password}).status_code == 204
    told = alice.get(f"chat/conversations/{direct}/messages/")
    [left] = told.json()["results"]
    assert (left["content"], left["sender"]) == ("so long", None)
    assert bob.username not in json.dumps(told.json())
    refused = alice.post(f"chat/conversations/{direct}/messages/", {"content": "wait"})
    assert_envelope(refused, 403, "permission_denied", reason="account_closed")
    assert_envelope(alice.post("chat/conversations/", {"kind": "direct", "user_id": bob.id}), 404, "not_found")
