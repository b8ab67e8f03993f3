"""What moderators see and do, and what they never see."""

import html
import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client

from chat.models import Conversation, Message, MessageRevision, Report
from chat.tests.calls import BASE, api, at, events, group, refused, say
from common.signals import user_suspended

CONVERSATIONS, REPORTS = "/admin/chat/conversation/", "/admin/chat/report/"


@pytest.fixture
def office(admin_person):
    client = Client()
    client.force_login(admin_person)
    return client


@pytest.fixture
def told(alice, bob):
    """A reported message in the middle of a talk."""
    conversation = group(alice, bob, title="Our garden")
    lines = [say(alice, conversation, f"line {number} of the talk") for number in range(20)]
    api(bob).post(f"{BASE}reports/", {"message_uuid": lines[10]["uuid"], "reason": "rude"})
    return conversation, lines


def test_conversations_show_counts_and_no_word(office, told):
    conversation, _lines = told
    row = Conversation.objects.get()
    for path in (CONVERSATIONS, f"{CONVERSATIONS}?q={conversation['uuid']}", f"{CONVERSATIONS}{row.pk}/change/"):
        answer = office.get(path)
        assert answer.status_code == 200
        text = answer.content.decode()
        assert conversation["uuid"] in text
        for word in ("garden", "line 1", "alice", "bob"):
            assert word not in text
    assert office.get(f"{CONVERSATIONS}?q=garden").status_code == 200
    assert office.get(f"{CONVERSATIONS}add/").status_code == 403
    assert office.post(f"{CONVERSATIONS}{row.pk}/delete/", {"post": "yes"}).status_code == 403


def test_messages_have_no_page_of_their_own(office):
    assert office.get("/admin/chat/message/").status_code == 404


def test_a_report_shows_the_message_and_the_few_around_it(office, told):
    text = office.get(f"{REPORTS}{Report.objects.get().pk}/change/").content.decode()
    for number in range(5, 16):
        assert f"line {number} of" in text
    for number in (0, 4, 16, 19):
        assert f"line {number} of" not in text
    assert "rude" in text


def test_reading_a_report_is_noted(office, told, admin_person):
    office.get(f"{REPORTS}{Report.objects.get().pk}/change/")
    assert "Read the reported message" in LogEntry.objects.get(user=admin_person).change_message


def test_words_are_never_markup(office, alice, bob):
    said = say(alice, group(alice, bob), "<script>alert(1)</script>")
    api(bob).post(f"{BASE}reports/", {"message_uuid": said["uuid"], "reason": "<b>rude</b>"})
    text = office.get(f"{REPORTS}{Report.objects.get().pk}/change/").content.decode()
    assert "<script>alert" not in text
    assert "<b>rude" not in text


def test_a_moderator_removes_the_message_for_everyone(office, told, alice, bob, admin_person):
    conversation, lines = told
    report = Report.objects.get()
    office.post(f"{REPORTS}{report.pk}/change/", {"_remove_message": "1", "confirmed": "yes"})
    message = Message.objects.get(uuid=lines[10]["uuid"])
    assert (message.content, message.deleted_at is not None) == ("", True)
    assert MessageRevision.objects.get(message=message).content == "line 10 of the talk"
    assert events(conversation)[-1][1] == "message.deleted"
    report.refresh_from_db()
    assert (report.status, report.resolved_by) == ("resolved", admin_person)
    assert LogEntry.objects.filter(change_message="Remove the message").count() == 1
    history = api(bob).get(at(conversation, "messages/?limit=100")).content.decode()
    assert "line 10 of the talk" not in history
    text = office.get(f"{REPORTS}{report.pk}/change/").content.decode()
    assert "line 10 of the talk" in text  # the moderator still sees what it was about


def test_removing_twice_removes_once(office, told):
    conversation, _lines = told
    for _ in range(2):
        office.post(
            REPORTS, {"action": "remove_message", "confirmed": "yes", "_selected_action": [Report.objects.get().pk]}
        )
    assert [kind for _seq, kind in events(conversation)].count("message.deleted") == 1


def test_a_moderator_suspends_the_sender(office, told, alice, sign_in, django_capture_on_commit_callbacks):
    client = sign_in(alice)
    suspended = []

    def heard(user_id, **kwargs):
        suspended.append(user_id)

    user_suspended.connect(heard)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            office.post(f"{REPORTS}{Report.objects.get().pk}/change/", {"_suspend_sender": "1", "confirmed": "yes"})
    finally:
        user_suspended.disconnect(heard)
    alice.refresh_from_db()
    assert alice.is_active is False
    assert suspended == [alice.pk]
    assert refused(client.get("/api/chat/settings/"), 401, "token_not_valid")
    assert Report.objects.get().status == "resolved"
    assert LogEntry.objects.filter(change_message="Suspend the sender").count() == 1


def test_staff_are_not_suspended_by_a_report(office, told, alice):
    type(alice).objects.filter(pk=alice.pk).update(is_staff=True)
    office.post(f"{REPORTS}{Report.objects.get().pk}/change/", {"_suspend_sender": "1", "confirmed": "yes"})
    alice.refresh_from_db()
    assert alice.is_active is True
    assert Report.objects.get().status == "open"


def test_a_report_is_dismissed(office, told):
    office.post(REPORTS, {"action": "dismiss", "_selected_action": [Report.objects.get().pk]})
    assert Report.objects.get().status == "dismissed"
    assert Message.objects.filter(deleted_at=None).count() == 20


def test_who_may_only_look_may_not_act(told, person):
    clerk = person("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_report"))
    client = Client()
    client.force_login(clerk)
    pk = Report.objects.get().pk
    answer = client.get(f"{REPORTS}{pk}/change/")
    assert answer.status_code == 200
    assert "_remove_message" not in answer.content.decode()
    for step in ("_remove_message", "_suspend_sender", "_dismiss"):
        client.post(f"{REPORTS}{pk}/change/", {step: "1"})
    client.post(REPORTS, {"action": "remove_message", "confirmed": "yes", "_selected_action": [pk]})
    assert Report.objects.get().status == "open"
    assert Message.objects.filter(deleted_at=None).count() == 20


def test_staff_without_the_permission_see_nothing(told, person):
    client = Client()
    client.force_login(person("clerk", is_staff=True))
    for path in (CONVERSATIONS, REPORTS, f"{REPORTS}{Report.objects.get().pk}/change/"):
        assert client.get(path).status_code == 403
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("step", ["remove_message", "warn_sender", "suspend_sender", "answer_reporter"])
def test_a_step_says_first_what_it_will_do_and_does_nothing_yet(office, told, alice, sign_in, step):
    sign_in(alice), sign_in(alice)
    path = f"{REPORTS}{Report.objects.get().pk}/change/"
    text = "Keep <b>calm</b>."
    asked = office.post(path, {f"_{step}": "1", f"{step}_text": text, "days": "7"})
    page = asked.content.decode()
    assert asked.status_code == 200
    assert 'name="confirmed" value="yes"' in page
    assert "<b>calm" not in page
    if step == "suspend_sender":
        assert "Ends 2 sessions." in page
        assert "Closes 0 sockets." in page
        assert "It ends by itself" in page
    if step != "remove_message":
        assert "Keep &lt;b&gt;calm&lt;/b&gt;." in page
    alice.refresh_from_db()
    report = Report.objects.get()
    assert (alice.is_active, report.status, report.message.deleted_at) == (True, "open", None)
    # The page's own form goes on with what was written.
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
    hidden.pop("csrfmiddlewaretoken", None)
    assert office.post(path, {name: html.unescape(value) for name, value in hidden.items()}).status_code == 302
    report.refresh_from_db()
    assert report.status == ("open" if step == "answer_reporter" else "resolved")
    alice.refresh_from_db()
    assert alice.is_active is (step != "suspend_sender")
    assert (alice.suspended_until is not None) is (step == "suspend_sender")


def test_an_action_of_the_list_says_first_what_it_will_do(office, told, alice, sign_in):
    sign_in(alice)
    chosen = {"action": "suspend_sender", "_selected_action": [Report.objects.get().pk]}
    page = office.post(REPORTS, chosen).content.decode()
    assert "Ends 1 session." in page
    assert "It lasts until somebody enables the account again." in page
    alice.refresh_from_db()
    assert alice.is_active
    assert office.post(REPORTS, {**chosen, "confirmed": "yes"}).status_code == 302
    alice.refresh_from_db()
    assert not alice.is_active
