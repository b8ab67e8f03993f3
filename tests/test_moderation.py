"""What a moderator does beyond removing a message: warn, suspend for a time, answer, and watch for words."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core import mail
from django.test import Client
from django.utils import timezone

from chat.models import Message, ModeratedWord, Report
from chat.services import word_list
from chat.tests.calls import BASE, api, at, group, say
from users import suspensions
from users.models import User

REPORTS = "/admin/chat/report/"


@pytest.fixture
def office(admin_person):
    client = Client()
    client.force_login(admin_person)
    return client


@pytest.fixture
def told(alice, bob):
    """Something that alice said and bob reported."""
    conversation = group(alice, bob)
    said = say(alice, conversation, "you fool")
    api(bob).post(f"{BASE}reports/", {"message_uuid": said["uuid"], "reason": "rude"})
    return conversation


def press(office, step, **given):
    return office.post(
        f"{REPORTS}{Report.objects.get().pk}/change/", {f"_{step}": "1", "confirmed": "yes", **given}, follow=True
    )


def test_a_warning_is_mailed_to_the_sender_with_the_moderators_words(office, told, alice, run_tasks):
    press(office, "warn_sender", warn_sender_text="No  insults,\nplease. <b>")
    run_tasks()
    (message,) = mail.outbox
    assert message.to == [alice.email]
    assert message.subject.startswith("A warning about a message of yours")
    assert "No insults, please. <b>" in message.body
    assert "No insults, please. &lt;b&gt;" in message.alternatives[0].content
    assert Report.objects.get().status == "resolved"
    assert Message.objects.filter(deleted_at=None).exists()
    alice.refresh_from_db()
    assert alice.is_active
    assert LogEntry.objects.filter(change_message="Warn the sender").count() == 1


def test_a_suspension_ends_by_itself(office, told, alice, sign_in, run_tasks):
    client = sign_in(alice)
    press(office, "suspend_sender", days="7", suspend_sender_text="A week to think.")
    alice.refresh_from_db()
    assert not alice.is_active
    assert timedelta(days=6, hours=23) < alice.suspended_until - timezone.now() < timedelta(days=7, minutes=1)
    assert client.get("/api/users/me/").status_code == 401
    run_tasks()
    (message,) = mail.outbox
    assert message.to == [alice.email]
    assert "A week to think." in message.body
    assert "works again by itself" in message.body
    suspensions.lift.func(alice.pk)  # too early
    assert not User.objects.get(pk=alice.pk).is_active
    with time_machine.travel(alice.suspended_until + timedelta(seconds=1)):
        run_tasks()
    alice.refresh_from_db()
    assert (alice.is_active, alice.suspended_until) == (True, None)
    assert client.get("/api/users/me/").status_code == 401  # what was revoked stays revoked


def test_the_daily_look_ends_what_its_own_task_missed(office, told, alice):
    press(office, "suspend_sender", days="1")
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        suspensions.lift_all.func()
    assert User.objects.get(pk=alice.pk).is_active


@pytest.mark.parametrize("days", ["0", "", "-1", "x", "9999", "٧"])
def test_another_length_lasts_until_somebody_enables_the_account(office, told, alice, days):
    press(office, "suspend_sender", days=days)
    alice.refresh_from_db()
    assert not alice.is_active
    assert alice.suspended_until is None or days == "٧"


def test_who_was_disabled_for_good_meanwhile_stays_disabled(office, told, alice):
    press(office, "suspend_sender", days="1")
    office.post(f"/admin/users/user/{alice.pk}/act/disable/")
    with time_machine.travel(timezone.now() + timedelta(days=2)):
        suspensions.lift.func(alice.pk)
        suspensions.lift_all.func()
    assert not User.objects.get(pk=alice.pk).is_active


def test_enabling_ends_a_suspension_early_and_the_task_does_nothing_more(office, told, alice):
    press(office, "suspend_sender", days="7")
    office.post(f"/admin/users/user/{alice.pk}/act/enable/")
    alice.refresh_from_db()
    assert (alice.is_active, alice.suspended_until) == (True, None)


def test_the_reporter_is_answered_also_after_the_report_is_closed(office, told, bob, run_tasks):
    press(office, "dismiss")
    press(office, "answer_reporter", answer_reporter_text="We looked at it.")
    run_tasks()
    (message,) = mail.outbox
    assert message.to == [bob.email]
    assert "We looked at it." in message.body
    assert "List-Unsubscribe" in message.extra_headers
    assert Report.objects.get().status == "dismissed"


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_answer_is_not_mailed(office, told, text, run_tasks):
    answer = press(office, "answer_reporter", answer_reporter_text=text)
    assert "Write what the reporter is to read" in answer.content.decode()
    run_tasks()
    assert mail.outbox == []


def test_a_report_shows_what_was_reported_before_and_what_suspending_ends(office, told, alice, bob, sign_in):
    sign_in(alice), sign_in(alice)
    for number in range(12):
        said = say(alice, told, f"fool number {number}")
        api(bob).post(f"{BASE}reports/", {"message_uuid": said["uuid"], "reason": f"rude {number}"})
    page = office.get(f"{REPORTS}{Report.objects.earliest('pk').pk}/change/").content.decode()
    assert "Ends 2 sessions." in page
    assert page.count("rude ") == 10
    assert "And more." in page


def test_the_queue_holds_what_is_open(office, told):
    pk = Report.objects.get().pk
    assert f"{REPORTS}{pk}/change/" in office.get(REPORTS).content.decode()
    press(office, "dismiss")
    assert f"{REPORTS}{pk}/change/" not in office.get(REPORTS).content.decode()
    for query in ({"status": "dismissed"}, {"status": "all"}, {"status": "all", "q": "alice"}):
        assert f"{pk}/change/" in office.get(REPORTS, query).content.decode()
    assert f"{pk}/change/" not in office.get(REPORTS, {"status": "all", "q": "bob"}).content.decode()


def test_a_persons_page_shows_their_reports_and_conversations_and_no_title(office, told, alice):
    page = office.get(f"/admin/users/user/{alice.pk}/change/").content.decode()
    assert 'id="reports"' in page
    assert "rude" in page
    assert 'id="memberships"' in page
    assert told["uuid"] in page
    assert "you fool" not in page


def test_support_sees_neither_on_a_persons_page(told, alice, person):
    clerk = person("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_user"))
    browser = Client()
    browser.force_login(clerk)
    page = browser.get(f"/admin/users/user/{alice.pk}/change/").content.decode()
    assert 'id="reports"' not in page
    assert 'id="memberships"' not in page


# --- Words ---


@pytest.fixture
def watched(db, monkeypatch):
    monkeypatch.setattr(word_list, "_words", frozenset())
    ModeratedWord.objects.create(word="Imbécile", folded=word_list.key("Imbécile"))
    word_list.load()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("text", ["imbecile", "Quel IMBÉCILE!", "«imbécile», dit-il"])
def test_a_message_with_a_watched_word_is_delivered_and_reported(watched, alice, bob, text, run_tasks):
    conversation = group(alice, bob)
    said = say(alice, conversation, text)
    run_tasks()
    row = Report.objects.get()
    assert (str(row.message.uuid), row.reporter, row.reason) == (said["uuid"], None, "word list")
    assert row.accused == alice
    assert text in [one["content"] for one in api(bob).get(at(conversation, "messages/")).json()["results"]]


@pytest.mark.django_db(transaction=True)
def test_an_edit_is_looked_at_too_and_a_message_reported_once(watched, alice, bob, run_tasks):
    said = say(alice, group(alice, bob), "hello")
    run_tasks()
    assert not Report.objects.exists()
    for text in ("imbécile", "imbécile!"):
        api(alice).patch(f"{BASE}messages/{said['uuid']}/", {"content": text})
        run_tasks()
    assert Report.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("text", ["imbéciles", "hello"])
def test_a_word_inside_another_is_no_hit(watched, alice, bob, text, run_tasks):
    say(alice, group(alice, bob), text)
    run_tasks()
    assert not Report.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_words_nothing_is_looked_at(alice, bob, monkeypatch):
    monkeypatch.setattr(word_list, "_words", frozenset())
    monkeypatch.setattr(word_list, "held", lambda *args: pytest.fail("looked at"))
    say(alice, group(alice, bob), "imbécile")


def test_the_list_is_kept_in_the_admin(office, person, db):
    add = "/admin/chat/moderatedword/add/"
    assert office.post(add, {"word": " Spam "}).status_code == 302
    assert ModeratedWord.objects.get().folded == "spam"
    for refused in ("spam", "SPÀM", "two words", ""):
        assert office.post(add, {"word": refused}).status_code == 200
    assert ModeratedWord.objects.count() == 1
    clerk = person("clerk", is_staff=True)
    browser = Client()
    browser.force_login(clerk)
    assert browser.get("/admin/chat/moderatedword/").status_code == 403
