"""What people and programs try: each is refused by name, nothing is lost and nothing leaks."""

import uuid

import pytest

from chat.models import Event, Membership, Message
from chat.tests.calls import BASE, CONVERSATIONS, api, at, codes, direct, events, group, refused, say, shown


@pytest.fixture
def talk(alice, bob):
    return group(alice, bob)


@pytest.mark.parametrize("emoji", ["x", "hello", "%20", "1", "<b>", "👍👍", "👍" * 40, "%00", "%F0%9F"])
def test_what_is_no_emoji_is_no_reaction(alice, talk, emoji):
    said = say(alice, talk)
    before = events(talk)
    assert api(alice).put(f"{BASE}messages/{said['uuid']}/reactions/{emoji}/").status_code in (400, 404)
    assert events(talk) == before


def test_a_thousand_mentions_are_one_mention_each_of_members_only(alice, bob, charlie, talk):
    names = " ".join(["@bob", "@charlie", "@nobody", "@alice"] * 125)
    said = say(alice, talk, names[:4000])
    assert said["mentions"] == [bob.pk]
    assert shown(bob, talk)["mention_count"] == 1
    body = {"content": "@bob " * 1_000, "client_msg_id": str(uuid.uuid4())}
    assert codes(api(alice).post(at(talk, "messages/"), body), "content")


def test_a_deleted_message_is_neither_edited_nor_deleted_again(alice, talk):
    said = say(alice, talk, "regretted")
    path = f"{BASE}messages/{said['uuid']}/"
    assert api(alice).delete(path).status_code == 204
    before = events(talk)
    assert refused(api(alice).patch(path, {"content": "again"}), 404, "not_found")
    assert refused(api(alice).delete(path), 404, "not_found")
    assert refused(api(alice).put(f"{path}reactions/👍/"), 404, "not_found")
    assert events(talk) == before
    assert shown(alice, talk)["last_message"]["content"] == ""
    assert Message.objects.get().content == ""


def test_a_removed_member_neither_writes_nor_reads_nor_reacts(alice, bob, talk):
    said = say(bob, talk, "mine")
    api(alice).delete(at(talk, f"members/{bob.pk}/"))
    before = events(talk)
    path = f"{BASE}messages/{said['uuid']}/"
    for answer in (
        api(bob).patch(path, {"content": "changed"}),
        api(bob).delete(path),
        api(bob).put(f"{path}reactions/👍/"),
        api(bob).post(at(talk, "messages/"), {"content": "still here", "client_msg_id": str(uuid.uuid4())}),
        api(bob).get(at(talk, "messages/")),
        api(bob).post(f"{BASE}reports/", {"message_uuid": said["uuid"], "reason": "x"}),
    ):
        assert refused(answer, 404, "not_found")
    assert events(talk) == before


def test_nobody_edits_what_another_said(alice, bob, talk):
    said = say(bob, talk, "mine")
    assert refused(api(alice).patch(f"{BASE}messages/{said['uuid']}/", {"content": "x"}), 403, "permission_denied")


@pytest.mark.parametrize(
    "path",
    ["conversations/x/", "conversations/%00/", "blocks/x/",
     "conversations/00000000-0000-0000-0000-000000000000/members/-1/", "unknown/", "conversations"],
)  # fmt: skip
def test_a_path_that_leads_nowhere_answers_in_the_envelope(alice, path):
    assert refused(api(alice).delete(f"{BASE}{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("put", "conversations/"), ("delete", "conversations/"), ("patch", "blocks/"), ("get", "reports/"),
     ("delete", "settings/")],
)  # fmt: skip
def test_a_method_that_the_path_does_not_know_is_405(alice, method, path):
    assert refused(getattr(api(alice), method)(f"{BASE}{path}"), 405, "method_not_allowed")


def test_a_body_that_is_no_json_is_refused(alice):
    client = api(alice)
    for body in (b"{", b"\xff", b"[" * 100_000, b'{"kind": NaN}', b'"\\ud800"'):
        assert client.post(CONVERSATIONS, body, content_type="application/json").status_code == 400
    assert client.post(CONVERSATIONS, b"kind=direct", content_type="text/plain").status_code == 415


def test_markup_and_odd_scripts_are_only_text(alice, bob):
    for title in ("<script>alert(1)</script>", "ﷺ" * 100, "👩‍👩‍👧‍👦", "'; DROP TABLE chat_message; --", "\u202egarden"):
        assert group(alice, bob, title=title)["title"] == title


def test_a_refused_change_leaves_no_trace(alice, bob, charlie, talk):
    before = events(talk), Membership.objects.count(), Event.objects.count()
    api(bob).patch(at(talk), {"title": "mine"})
    api(bob).post(at(talk, "members/"), {"user_ids": [charlie.pk]})
    api(bob).patch(at(talk, f"members/{bob.pk}/"), {"role": "owner"})
    api(bob).delete(at(talk, f"members/{alice.pk}/"))
    api(charlie).post(at(talk, "leave/"))
    api(alice).post(at(talk, "members/"), {"user_ids": [charlie.pk, 999_999]})
    api(alice).patch(at(talk, f"members/{alice.pk}/"), {"role": "member"})
    assert (events(talk), Membership.objects.count(), Event.objects.count()) == before


def test_blocking_in_between_is_told_apart_from_not_being_there(alice, bob, charlie):
    conversation = direct(alice, bob)
    api(bob).post(f"{BASE}blocks/", {"user_id": alice.pk})
    body = {"content": "hello", "client_msg_id": str(uuid.uuid4())}
    assert refused(api(alice).post(at(conversation, "messages/"), body), 403, "blocked")
    assert refused(api(charlie).post(at(conversation, "messages/"), body), 404, "not_found")


def test_an_optional_key_that_is_null_counts_as_absent(alice, bob, talk):
    client = api(alice)
    body = {"content": "hello", "client_msg_id": str(uuid.uuid4()), "reply_to": None, "attachments": None}
    assert client.post(at(talk, "messages/"), body).status_code == 201
    given = {"title": None, "description": "of roses", "history_visible": None}
    assert client.patch(at(talk), given).data["description"] == "of roses"
    given = {"pinned": True, "archived": None, "notify": None, "muted_until": None}
    assert client.patch(at(talk, "settings/"), given).data["pinned"] is True
    assert client.patch(f"{BASE}settings/", {"share_receipts": None, "share_presence": False}).status_code == 200
    new = {"kind": "group", "title": "Roses", "user_ids": [bob.pk], "history_visible": None}
    assert client.post(CONVERSATIONS, new).data["history_visible"] is False
    assert codes(client.post(CONVERSATIONS, new | {"title": None}), "title") == ["null"]


@pytest.mark.parametrize("number", [0, 1, True, 2**64, 1.5])
def test_a_number_is_no_uuid(alice, talk, number):
    body = {"content": "hello", "client_msg_id": str(uuid.uuid4())}
    for key in ("client_msg_id", "reply_to"):
        assert codes(api(alice).post(at(talk, "messages/"), body | {key: number}), key) == ["invalid"]
    assert api(alice).post(at(talk, "messages/"), body | {"attachments": [number]}).status_code == 400
    assert codes(api(alice).post(f"{BASE}reports/", {"message_uuid": number, "reason": "x"}), "message_uuid")
