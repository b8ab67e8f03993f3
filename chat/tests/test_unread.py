"""What counts as unread, and what a message may be at all."""

import pytest
import time_machine

from chat.models import Membership
from chat.tests.calls import BASE, CONVERSATIONS, api, at, codes, direct, group, refused, say, shown
from common.signals import user_closing

INVISIBLE = [
    "\u200b",
    "\u2060\u200d",
    "\ufe0f",
    "\u3164",
    "\u2800",
    "\u00ad\u034f",
    " \u180e\u115f",
    "\U000e0041",
    "\u202e",
    "\u2065\ufff0\ufff8",
    "\U0001d159",
]


@pytest.mark.django_db
def test_what_was_taken_back_is_not_unread(alice, bob):
    conversation = group(alice, bob)
    sent = [say(alice, conversation, str(number)) for number in range(3)]
    assert shown(bob, conversation)["unread_count"] == 3
    for left, message in zip((2, 1, 0), sent, strict=True):
        api(alice).delete(f"{BASE}messages/{message['uuid']}/")
        assert shown(bob, conversation)["unread_count"] == left
    say(alice, conversation, "another")
    assert shown(bob, conversation)["unread_count"] == 1
    assert api(bob).get(CONVERSATIONS).json()["results"][0]["unread_count"] == 1
    answer = api(bob).post(at(conversation, "seen/"), {"up_to_seq": sent[0]["seq"]})
    assert answer.json()["unread_count"] == 1


@pytest.mark.django_db
def test_what_was_seen_and_then_taken_back_changes_nothing(alice, bob):
    conversation = group(alice, bob)
    seen, unseen = say(alice, conversation, "1"), say(alice, conversation, "2")
    api(bob).post(at(conversation, "seen/"), {"up_to_seq": seen["seq"]})
    api(alice).delete(f"{BASE}messages/{seen['uuid']}/")
    assert shown(bob, conversation)["unread_count"] == 1
    api(alice).delete(f"{BASE}messages/{unseen['uuid']}/")
    assert shown(bob, conversation)["unread_count"] == 0


@pytest.mark.django_db
def test_a_closed_account_takes_no_more_messages(alice, bob):
    conversation = direct(alice, bob)
    first = say(alice, conversation)
    user_closing.send(sender=type(bob), user_id=bob.pk)
    answer = api(alice).post(at(conversation, "messages/"), {"content": "there?"})
    assert refused(answer, 403, "permission_denied")
    assert answer.json()["reason"] == "account_closed"
    repeat = {"content": first["content"], "client_msg_id": first["client_msg_id"]}
    assert api(alice).post(at(conversation, "messages/"), repeat).status_code == 200
    assert api(alice).get(at(conversation, "messages/")).status_code == 200


@pytest.mark.django_db
def test_a_group_goes_on_when_an_account_closes(alice, bob):
    conversation = group(alice, bob)
    user_closing.send(sender=type(bob), user_id=bob.pk)
    assert Membership.objects.living().count() == 1
    assert say(alice, conversation)["seq"]


@pytest.mark.django_db
@pytest.mark.parametrize("text", INVISIBLE)
def test_a_text_of_invisible_characters_is_empty(alice, bob, text):
    conversation = group(alice, bob)
    assert codes(api(alice).post(at(conversation, "messages/"), {"content": text}), "content") == ["blank"]
    message = say(alice, conversation)
    assert codes(api(alice).patch(f"{BASE}messages/{message['uuid']}/", {"content": text}), "content") == ["blank"]
    assert codes(api(alice).post(CONVERSATIONS, {"kind": "group", "title": text, "user_ids": []}), "title") == ["blank"]
    assert codes(api(alice).patch(at(conversation), {"title": text}), "title") == ["blank"]
    assert api(alice).patch(at(conversation), {"description": text}).json()["description"] == ""


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["\u200fمرحبا", "👩\u200d🔬", "a\u200b", "❤\ufe0f", "क\u094d\u200d", "."])
def test_a_text_that_shows_anything_keeps_its_invisible_characters(alice, bob, text):
    assert say(alice, group(alice, bob), text)["content"] == text


@pytest.mark.django_db
def test_an_edit_in_a_blocked_direct_conversation_is_refused(alice, bob):
    conversation = direct(alice, bob)
    message = say(alice, conversation)
    api(bob).post(f"{BASE}blocks/", {"user_id": alice.pk})
    answer = api(alice).patch(f"{BASE}messages/{message['uuid']}/", {"content": "changed"})
    assert refused(answer, 403, "blocked")
    assert refused(api(alice).put(f"{BASE}messages/{message['uuid']}/reactions/👍/"), 403, "blocked")
    assert api(alice).delete(f"{BASE}messages/{message['uuid']}/").status_code == 204  # taking back hurts nobody


@pytest.mark.django_db
def test_an_edit_after_the_window_is_refused(alice, bob, settings):
    settings.CHAT_EDIT_WINDOW = 60
    with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as traveller:
        message = say(alice, group(alice, bob))
        traveller.shift(60)
        path = f"{BASE}messages/{message['uuid']}/"
        assert api(alice).patch(path, {"content": "in time"}).status_code == 200
        traveller.shift(1)
        assert refused(api(alice).patch(path, {"content": "too late"}), 403, "permission_denied")
        settings.CHAT_EDIT_WINDOW = 0
        assert api(alice).patch(path, {"content": "no limit"}).status_code == 200
