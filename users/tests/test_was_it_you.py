"""A security notice asks whether it was its reader, and a click, never a GET, signs the device out."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.core import mail
from django.utils import timezone

from common.client import Client
from sessions.models import UserSession
from sessions.services import lifecycle as services
from users import security_events
from users.mail import tasks
from users.models import NoticeToken, SecurityEvent

pytestmark = pytest.mark.django_db
URL = "/api/auth/was-it-you/"
KEY = re.compile(r"^http\S+/was-it-you/#key=([0-9a-f-]{36})&answer=(\w+)$", re.MULTILINE)


@pytest.fixture
def stranger(alice):
    """The session of a sign-in on a device not seen before."""
    source = Client(ip_address="5.6.7.8", user_agent="Mozilla/5.0 (Windows NT 10.0) Firefox/128.0")
    return services.start(user=alice, client=source).user_session


def notice(alice, session, *, kind="new_device", letter="new_sign_in", **detail):
    event = security_events.record(
        user_id=alice.pk, kind=kind, at=timezone.now(), session_id=session and session.session_token, detail=detail
    )
    tasks.send_mail.func(alice.pk, letter, context={"event_id": str(event.pk)})
    return event


def key():
    keys = {raw for raw, _answer in KEY.findall(mail.outbox[-1].body)}
    assert len(keys) == 1
    return keys.pop()


def test_the_notice_asks_in_text_and_in_html(alice, stranger):
    notice(alice, stranger)
    body, html = mail.outbox[-1].body, mail.outbox[-1].alternatives[0].content
    assert {answer for _raw, answer in KEY.findall(body)} == {"me", "sign_out"}
    assert body.count("Was it you?") == 1
    for answer in ("me", "sign_out"):
        assert f"{key()}&amp;answer={answer}" in html
    assert str(NoticeToken.objects.get().token) != key()  # a digest rests in the database


def test_signing_the_device_out_ends_its_session_and_no_other(alice, stranger, sign_in, api):
    own = sign_in(alice)
    event = notice(alice, stranger)
    assert api.post(URL, {"token": key(), "answer": "sign_out"}).status_code == 200
    stranger.refresh_from_db()
    assert not stranger.is_active
    assert own.get("/api/users/me/").status_code == 200
    event.refresh_from_db()
    assert event.detail["answer"] == "sign_out"
    assert SecurityEvent.objects.filter(kind="session_revoked", session_id=stranger.session_token).exists()


def test_it_was_me_changes_nothing(alice, stranger, api):
    event = notice(alice, stranger)
    assert api.post(URL, {"token": key(), "answer": "me"}).status_code == 200
    assert UserSession.objects.get(pk=stranger.pk).is_active
    event.refresh_from_db()
    assert event.detail["answer"] == "me"


@pytest.mark.parametrize("first", ["me", "sign_out"])
def test_a_link_answers_once(alice, stranger, api, first):
    notice(alice, stranger)
    raw = key()
    assert api.post(URL, {"token": raw, "answer": first}).status_code == 200
    again = api.post(URL, {"token": raw, "answer": "sign_out"})
    assert (again.status_code, again.json()["code"]) == (400, "invalid_or_expired_token")
    assert UserSession.objects.get(pk=stranger.pk).is_active == (first == "me")


def test_no_get_answers(alice, stranger, client, api):
    notice(alice, stranger)
    for path in (f"/was-it-you/?key={key()}&answer=sign_out", f"{URL}?token={key()}&answer=sign_out"):
        client.get(path)
        api.get(path)
    assert UserSession.objects.get(pk=stranger.pk).is_active
    assert not NoticeToken.objects.get().is_used
    assert client.post("/was-it-you/").status_code == 405


@pytest.mark.parametrize("answer", ["", "no", None, 1, ["me"]])
def test_another_answer_is_refused_and_spends_nothing(alice, stranger, api, answer):
    notice(alice, stranger)
    refused = api.post(URL, {"token": key(), "answer": answer})
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_error")
    assert not NoticeToken.objects.get().is_used


@pytest.mark.parametrize("token", ["", "x", "11111111-2222-4333-8444-555555555555", None, 7])
def test_a_token_of_nobodys_opens_nothing(alice, stranger, api, token):
    notice(alice, stranger)
    assert api.post(URL, {"token": token, "answer": "sign_out"}).status_code == 400
    assert UserSession.objects.get(pk=stranger.pk).is_active


def test_a_link_ends_after_its_time(alice, stranger, api, settings):
    notice(alice, stranger)
    raw = key()
    with time_machine.travel(timezone.now() + timedelta(seconds=settings.NOTICE_LINK_LIFETIME + 1)):
        assert api.post(URL, {"token": raw, "answer": "me"}).json()["code"] == "invalid_or_expired_token"


def test_the_mail_sent_again_voids_the_link_of_the_first(alice, stranger, api):
    event = notice(alice, stranger)
    first = key()
    tasks.send_mail.func(alice.pk, "new_sign_in", context={"event_id": str(event.pk)})
    assert key() != first
    assert api.post(URL, {"token": first, "answer": "sign_out"}).status_code == 400
    assert api.post(URL, {"token": key(), "answer": "sign_out"}).status_code == 200


def test_a_session_that_has_ended_stays_ended(alice, stranger, api):
    notice(alice, stranger)
    services.revoke(user_id=alice.pk, sid=stranger.session_token)
    assert api.post(URL, {"token": key(), "answer": "sign_out"}).status_code == 200


def test_a_session_purged_since_is_no_fault(alice, stranger, api):
    notice(alice, stranger)
    UserSession.objects.all().delete()
    assert api.post(URL, {"token": key(), "answer": "sign_out"}).status_code == 200


def test_nothing_is_asked_where_there_is_no_device_to_sign_out(alice, stranger):
    notice(alice, None, kind="lockout", letter="account_locked")
    assert not KEY.search(mail.outbox[-1].body)
    notice(alice, stranger, kind="mfa_disabled", letter="mfa_disabled", by="admin", reason="lost")
    assert not KEY.search(mail.outbox[-1].body)
    services.revoke(user_id=alice.pk, sid=stranger.session_token)
    notice(alice, stranger)
    assert not KEY.search(mail.outbox[-1].body)


def test_a_disabled_account_answers_nothing(alice, stranger, api):
    notice(alice, stranger)
    type(alice).objects.filter(pk=alice.pk).rewrite(is_active=False)
    assert api.post(URL, {"token": key(), "answer": "me"}).status_code == 400


def test_guesses_are_limited(api, alice, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "was_it_you": "2/min"}
    body = {"token": "11111111-2222-4333-8444-555555555555", "answer": "me"}
    assert [api.post(URL, body).status_code for _ in range(3)] == [400, 400, 429]


def test_closing_the_account_forgets_the_links(alice, stranger, alice_api):
    notice(alice, stranger)
    assert alice_api.post("/api/users/me/close/", {"password": "alviar-demo"}).status_code == 204
    assert not NoticeToken.objects.exists()
