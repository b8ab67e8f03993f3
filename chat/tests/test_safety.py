"""Blocks, reports, and what a person shows to others."""

import uuid

import pytest

from chat.hub import presence
from chat.models import Block, Report
from chat.tests.calls import BASE, CONVERSATIONS, api, at, codes, direct, group, refused, say

BLOCKS, REPORTS, SETTINGS = f"{BASE}blocks/", f"{BASE}reports/", f"{BASE}settings/"


def block(user, person):
    return api(user).post(BLOCKS, {"user_id": person.pk})


# --- Blocks -----------------------------------------------------------------------------------------------------------


def test_blocking_twice_is_blocking_once(alice, bob):
    first, second = block(alice, bob), block(alice, bob)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert set(first.json()) == {"user", "created_at"}
    assert first.json()["user"]["username"] == "bob"
    page = api(alice).get(BLOCKS).json()
    assert [row["user"]["id"] for row in page["results"]] == [bob.pk]
    assert api(bob).get(BLOCKS).json()["results"] == []  # whom others block is theirs to know


def test_a_block_is_lifted_once(alice, bob):
    block(alice, bob)
    assert api(alice).delete(f"{BLOCKS}{bob.pk}/").status_code == 204
    assert refused(api(alice).delete(f"{BLOCKS}{bob.pk}/"), 404, "not_found")
    assert api(alice).get(BLOCKS).json()["results"] == []


def test_nobody_lifts_the_block_of_another(alice, bob):
    block(alice, bob)
    assert refused(api(bob).delete(f"{BLOCKS}{bob.pk}/"), 404, "not_found")
    assert refused(api(bob).delete(f"{BLOCKS}{alice.pk}/"), 404, "not_found")
    assert Block.objects.count() == 1


def test_nobody_blocks_themselves_or_nobody(alice):
    assert codes(block(alice, alice), "user_id") == ["self"]
    assert refused(api(alice).post(BLOCKS, {"user_id": 999_999}), 404, "not_found")
    assert codes(api(alice).post(BLOCKS, {"user_id": "bob"}), "user_id")
    assert codes(api(alice).post(BLOCKS, {}), "user_id") == ["required"]


def test_a_block_closes_the_direct_conversation_both_ways(alice, bob):
    block(alice, bob)
    for one, other in ((alice, bob), (bob, alice)):
        assert refused(api(one).post(CONVERSATIONS, {"kind": "direct", "user_id": other.pk}), 403, "blocked")
    api(alice).delete(f"{BLOCKS}{bob.pk}/")
    assert direct(bob, alice)


def test_a_block_silences_the_direct_conversation_that_is_there(alice, bob):
    conversation = direct(alice, bob)
    say(bob, conversation)
    block(alice, bob)
    for user in (alice, bob):
        body = {"content": "hello", "client_msg_id": str(uuid.uuid4())}
        assert refused(api(user).post(at(conversation, "messages/"), body), 403, "blocked")
    assert api(bob).get(at(conversation)).status_code == 200  # what was said stays readable


def test_groups_that_both_are_in_go_on(alice, bob, charlie):
    conversation = group(charlie, alice, bob)
    block(alice, bob)
    assert say(bob, conversation)


def test_nobody_is_drawn_into_a_group_by_whom_they_block(alice, bob, charlie):
    block(alice, bob)
    body = {"kind": "group", "title": "x", "user_ids": [alice.pk]}
    assert refused(api(bob).post(CONVERSATIONS, body), 403, "blocked")
    conversation = group(bob, charlie)
    assert refused(api(bob).post(at(conversation, "members/"), {"user_ids": [alice.pk]}), 403, "blocked")
    assert group(alice, bob)["members_count"] == 2  # the other way round it is the blocker's own wish


@pytest.fixture
def everybody_is_there(monkeypatch):
    monkeypatch.setattr(
        presence, "states", lambda user_ids: {user_id: presence.State(online=True) for user_id in user_ids}
    )


def _online(viewer, conversation):
    rows = api(viewer).get(at(conversation, "members/")).json()["results"]
    return {row["user"]["username"]: row["online"] for row in rows}


@pytest.mark.usefixtures("everybody_is_there")
def test_a_blocked_person_sees_no_presence(alice, bob, charlie):
    conversation = group(charlie, alice, bob)
    assert _online(bob, conversation) == {"alice": True, "bob": True, "charlie": True}
    block(alice, bob)
    assert _online(bob, conversation) == {"alice": False, "bob": True, "charlie": True}
    assert _online(alice, conversation) == {"alice": True, "bob": True, "charlie": True}


@pytest.mark.usefixtures("everybody_is_there")
def test_who_shares_no_presence_is_away_to_all_others(alice, bob):
    conversation = direct(alice, bob)
    api(alice).patch(SETTINGS, {"share_presence": False})
    assert _online(bob, conversation) == {"alice": False, "bob": True}
    assert _online(alice, conversation) == {"alice": True, "bob": True}


# --- Settings ---------------------------------------------------------------------------------------------------------


def test_everything_is_shared_until_one_says_otherwise(alice, bob):
    shared = {"share_receipts": True, "share_presence": True, "quiet_hours": None}
    assert api(alice).get(SETTINGS).json() == shared
    assert api(alice).patch(SETTINGS, {"share_receipts": False}).json() == {**shared, "share_receipts": False}
    assert api(alice).patch(SETTINGS, {}).json()["share_receipts"] is False
    assert api(bob).get(SETTINGS).json()["share_receipts"] is True


@pytest.mark.parametrize("value", ["yes", 1, [], {}])
def test_a_switch_is_true_or_false(alice, value):
    assert codes(api(alice).patch(SETTINGS, {"share_presence": value}), "share_presence")


def test_quiet_hours_are_set_kept_and_ended(alice):
    night = {"from": "22:00", "to": "07:00"}
    assert api(alice).patch(SETTINGS, {"quiet_hours": night}).json()["quiet_hours"] == night
    assert api(alice).patch(SETTINGS, {"share_presence": False}).json()["quiet_hours"] == night
    assert api(alice).get(SETTINGS).json()["quiet_hours"] == night
    assert api(alice).patch(SETTINGS, {"quiet_hours": None}).json()["quiet_hours"] is None


@pytest.mark.parametrize(
    "value",
    ["22:00", 5, [], {}, {"from": "22:00"}, {"from": "22:00", "to": None}, {"from": "24:00", "to": "07:00"},
     {"from": "9:00", "to": "10:00"}, {"from": "22:00", "to": "22:00"}, {"from": 22, "to": 7},
     {"from": "22:00:00", "to": "07:00"}, {"from": "٢٢:٠٠", "to": "07:00"}],
)  # fmt: skip
def test_quiet_hours_are_two_different_times_of_day(alice, value):
    assert codes(api(alice).patch(SETTINGS, {"quiet_hours": value}), "quiet_hours") == ["invalid"]
    assert api(alice).get(SETTINGS).json()["quiet_hours"] is None


# --- Reports ----------------------------------------------------------------------------------------------------------


def report(user, message_uuid, reason="rude"):
    return api(user).post(REPORTS, {"message_uuid": message_uuid, "reason": reason})


def test_a_message_is_reported_once_by_each(alice, bob, charlie):
    said = say(alice, group(alice, bob, charlie))
    first, again, other = report(bob, said["uuid"]), report(bob, said["uuid"], "again"), report(charlie, said["uuid"])
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 201]
    assert first.json() == again.json()
    assert set(first.json()) == {"uuid", "message_uuid", "reason", "status", "created_at"}
    assert (first.json()["status"], first.json()["message_uuid"]) == ("open", said["uuid"])
    assert Report.objects.count() == 2


def test_only_what_one_can_see_is_reported(alice, bob, charlie):
    conversation = group(alice, bob)
    before = say(alice, conversation)
    assert refused(report(charlie, before["uuid"]), 404, "not_found")
    api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
    assert refused(report(charlie, before["uuid"]), 404, "not_found")
    after = say(alice, conversation)
    assert report(charlie, after["uuid"]).status_code == 201
    api(bob).post(at(conversation, "leave/"))
    assert refused(report(bob, after["uuid"]), 404, "not_found")
    assert refused(report(alice, str(uuid.uuid4())), 404, "not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [("message_uuid", "x"), ("message_uuid", None), ("message_uuid", []), ("reason", ""), ("reason", None),
     ("reason", 5), ("reason", "x" * 501), ("reason", "\x00"), ("reason", "  ")],
)  # fmt: skip
def test_a_report_of_wrong_types_is_refused(alice, field, value):
    body = {"message_uuid": str(uuid.uuid4()), "reason": "rude", field: value}
    assert codes(api(alice).post(REPORTS, body), field)


def test_refusals_speak_the_readers_language(alice):
    answer = api(alice).post(BLOCKS, {"user_id": alice.pk}, HTTP_ACCEPT_LANGUAGE="fr")
    assert answer.json()["errors"]["user_id"][0]["message"] == "Vous ne pouvez pas vous bloquer vous-même."
    answer = api(alice).post(BLOCKS, {"user_id": alice.pk}, HTTP_ACCEPT_LANGUAGE="ar")
    assert answer.json()["errors"]["user_id"][0]["message"] == "لا يمكنك حظر نفسك."
