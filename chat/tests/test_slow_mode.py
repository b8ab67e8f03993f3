"""In slow mode a plain member sends one message in so many seconds; owners and admins are free."""

import json
import uuid
from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.log import encoding
from chat.models import Conversation, Event, Membership, Message
from chat.protocol import outgoing
from chat.services import sending
from chat.tests.calls import api, at, codes, direct, group, refused, say, shown
from common.errors import SlowMode

SECONDS = 30


@pytest.fixture
def slow(alice, bob):
    """Alice's group with bob, in slow mode."""
    conversation = group(alice, bob)
    answer = api(alice).patch(at(conversation), {"slow_mode_seconds": SECONDS})
    assert answer.json()["slow_mode_seconds"] == SECONDS
    return conversation


def attempt(user, conversation, **fields):
    return api(user).post(at(conversation, "messages/"), {"content": "again", "client_msg_id": uuid.uuid4(), **fields})


def test_a_member_waits_and_is_told_how_long(bob, slow):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        say(bob, slow)
    with time_machine.travel(now + timedelta(seconds=10), tick=False):
        answer = attempt(bob, slow)
    assert refused(answer, 429, "throttled")
    body = answer.json()
    assert (body["reason"], body["action"], body["retry_after"], answer["Retry-After"]) == (
        "slow_mode",
        "wait",
        20,
        "20",
    )
    with time_machine.travel(now + timedelta(seconds=SECONDS), tick=False):
        say(bob, slow)
    assert Message.objects.count() == 2


def test_the_socket_says_the_same(bob, slow):
    frame = outgoing.error_of(SlowMode(retry_after=19.2), client_msg_id="x")
    assert (frame.code, frame.reason, frame.retryable, frame.retry_after_ms) == ("throttled", "slow_mode", True, 20_000)


def test_owners_and_admins_are_free(alice, bob, slow):
    say(alice, slow)
    say(alice, slow)
    say(bob, slow)
    api(alice).patch(at(slow, f"members/{bob.pk}/"), {"role": "admin"})
    say(bob, slow)


def test_two_messages_in_one_batch_count(bob, slow):
    sends = [
        sending.Send(user_id=bob.pk, session_id=None, conversation_uuid=uuid.UUID(slow["uuid"]), content=text)
        for text in ("first", "second")
    ]
    first, second = sending.store(sends)
    assert isinstance(first, sending.Sent)
    assert isinstance(second, SlowMode)
    assert Message.objects.get().content == "first"


def test_a_repeat_is_answered_and_other_conversations_are_free(alice, bob, charlie, slow):
    name = str(uuid.uuid4())
    first = say(bob, slow, client_msg_id=name)
    again = attempt(bob, slow, content="hello", client_msg_id=name)
    assert (again.status_code, again.json()["uuid"]) == (200, first["uuid"])
    say(bob, group(alice, bob))
    say(bob, direct(bob, charlie))


def test_leaving_and_coming_back_shortens_no_wait(alice, bob, slow):
    say(bob, slow)
    assert api(bob).post(at(slow, "leave/")).status_code == 200
    assert api(alice).post(at(slow, "members/"), {"user_ids": [bob.pk]}).status_code == 200
    assert refused(attempt(bob, slow), 429, "throttled")


def test_a_clock_that_was_ahead_makes_nobody_wait_longer(bob, slow):
    Membership.objects.filter(user=bob).update(last_sent_at=timezone.now() + timedelta(hours=5))
    assert attempt(bob, slow).json()["retry_after"] == SECONDS


def test_it_takes_no_statement(alice, bob):
    conversation = group(alice, bob)

    def statements():
        with CaptureQueriesContext(connection) as seen:
            say(bob, conversation)
        return len(seen)

    say(bob, conversation)
    before = statements()
    Conversation.objects.update(slow_mode_seconds=SECONDS)
    Membership.objects.update(last_sent_at=None)
    assert statements() == before


def test_who_may_set_it_and_what_it_takes(alice, bob, charlie, slow):
    assert refused(api(bob).patch(at(slow), {"slow_mode_seconds": 0}), 403, "permission_denied")
    assert refused(api(charlie).patch(at(slow), {"slow_mode_seconds": 0}), 404, "not_found")
    assert refused(api(alice).patch(at(direct(alice, bob)), {"slow_mode_seconds": 9}), 403, "permission_denied")
    for wrong in (-1, 21_601, "9", True, 1.5):
        assert codes(api(alice).patch(at(slow), {"slow_mode_seconds": wrong}), "slow_mode_seconds"), wrong
    assert shown(bob, slow)["slow_mode_seconds"] == SECONDS
    assert "slow_mode_seconds" not in api(alice).patch(at(slow), {"slow_mode_seconds": 0}).json()
    say(bob, slow)
    say(bob, slow)


def test_members_learn_of_it_by_the_event_alone_that_changes_it(alice, slow):
    api(alice).patch(at(slow), {"title": "Orchard"})
    rows = list(Event.objects.filter(kind="conversation.updated").order_by("seq"))
    first, second = (json.loads(one.raw)["data"] for one in encoding.encode(rows))
    assert first["slow_mode_seconds"] == SECONDS
    assert set(second) == {"uuid", "kind", "title", "description"}


def test_a_moderator_sets_it_without_being_a_member(alice, bob, admin_person):
    group(alice, bob)
    office = Client()
    office.force_login(admin_person)
    row = Conversation.objects.get(kind="group")
    path = f"/admin/chat/conversation/{row.pk}/change/"
    assert "slow_mode_seconds" in office.get(path).content.decode()
    assert office.post(path, {"slow_mode_seconds": "99999"}).status_code == 200  # refused in the form
    assert office.post(path, {"slow_mode_seconds": "60", "title": "taken"}).status_code == 302
    row.refresh_from_db()
    assert (row.slow_mode_seconds, row.title) == (60, "Garden")
    assert Event.objects.filter(kind="conversation.updated").count() == 1
    assert LogEntry.objects.filter(user=admin_person, object_id=row.pk).exists()


def test_a_direct_conversation_has_none(alice, bob, admin_person):
    direct(alice, bob)
    office = Client()
    office.force_login(admin_person)
    path = f"/admin/chat/conversation/{Conversation.objects.get().pk}/change/"
    assert office.get(path).status_code == 200
    assert office.post(path, {"slow_mode_seconds": "60"}).status_code == 403
