"""What the chat keeps and erases when an account closes, and what it hands out on export."""

from django.db import transaction

from chat.models import Block, ChatSettings, Message, Report
from chat.receivers import export
from chat.tests.calls import BASE, api, at, direct, events, group, roles, say, shown
from common import json
from common.signals import user_closing, user_exporting


def close(user):
    """Do what the accounts do: anonymise the row inside the transaction in which everybody else is told."""
    with transaction.atomic():
        user_closing.send(sender=None, user_id=user.pk)


def test_a_closed_account_leaves_its_groups_and_hands_them_over(alice, bob, charlie):
    conversation = group(alice, bob, charlie)
    api(alice).patch(at(conversation, f"members/{charlie.pk}/"), {"role": "admin"})
    close(alice)
    assert roles(bob, conversation) == {"bob": "member", "charlie": "owner"}
    assert shown(bob, conversation)["members_count"] == 2
    assert [kind for _seq, kind in events(conversation)][-2:] == ["member.left", "member.role_changed"]


def test_what_was_said_stays_with_those_it_was_said_to(alice, bob):
    conversation = direct(alice, bob)
    say(alice, conversation, "remember this")
    close(alice)
    (message,) = api(bob).get(at(conversation, "messages/")).json()["results"]
    assert message["content"] == "remember this"
    assert shown(bob, conversation)["members_count"] == 1


def test_choices_and_blocks_are_erased_and_reports_stay_without_the_name(alice, bob):
    said = say(bob, direct(alice, bob))
    api(alice).post(f"{BASE}reports/", {"message_uuid": said["uuid"], "reason": "rude"})
    api(alice).patch(f"{BASE}settings/", {"share_receipts": False})
    api(alice).post(f"{BASE}blocks/", {"user_id": bob.pk})
    api(bob).post(f"{BASE}blocks/", {"user_id": alice.pk})
    close(alice)
    assert not ChatSettings.objects.exists()
    assert not Block.objects.exists()
    assert Report.objects.get().reporter is None
    assert Message.objects.count() == 1


def test_closing_twice_is_closing_once(alice, bob):
    conversation = group(alice, bob)
    close(alice)
    before = events(conversation)
    close(alice)
    assert events(conversation) == before


def test_a_deleted_person_leaves_an_owner_and_no_hole(alice, bob, charlie):
    conversation = group(alice, bob, charlie)
    said = say(alice, conversation, "remember this")
    alice.delete()
    assert roles(bob, conversation) == {"bob": "owner", "charlie": "member"}
    assert shown(bob, conversation)["members_count"] == 2
    assert [seq for seq, _kind in events(conversation)] == list(range(1, said["seq"] + 3))
    (message,) = api(bob).get(at(conversation, "messages/")).json()["results"]
    assert (message["content"], message["sender"]) == ("remember this", None)


def test_the_export_holds_ones_own_words_and_nobody_elses(alice, bob):
    conversation = group(alice, bob)
    say(alice, conversation, "my words")
    say(bob, conversation, "bob's words")
    api(alice).post(f"{BASE}blocks/", {"user_id": bob.pk})
    held = json.loads(json.dumps(export(alice.pk)))["chat"]
    assert [message["content"] for message in held["messages"]] == ["my words"]
    assert held["conversations"][0]["uuid"] == conversation["uuid"]
    assert held["conversations"][0]["role"] == "owner"
    assert [row["user_id"] for row in held["blocks"]] == [bob.pk]
    assert held["settings"] == {"share_receipts": True, "share_presence": True, "quiet_hours": None}
    assert any("chat" in (part or {}) for _receiver, part in user_exporting.send(sender=None, user_id=alice.pk))
