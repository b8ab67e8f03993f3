"""What happens to an account is pushed to the devices that are signed in."""

import pytest
from django.utils import timezone

from common.client import Client
from sessions.models import PushRegistration
from sessions.push import delivery
from sessions.services import lifecycle
from users import notices, security_events

LOGIN = "/api/auth/login/"


@pytest.fixture
def pushed(monkeypatch):
    """What would be pushed, device by device."""
    found = []

    def send(pushes):
        found.extend(pushes)
        return [delivery.OVER] * len(pushes)

    monkeypatch.setattr(delivery, "send", send)
    return found


@pytest.fixture
def device(sign_in):
    def device(user, show="full"):
        client = sign_in(user, device_fingerprint=f"device-{PushRegistration.objects.count()}")
        user_session = client.started.user_session
        PushRegistration.objects.create(
            user_session=user_session, user=user, provider="expo", token=str(user_session.pk),
            digest=str(user_session.pk), show=show, updated_at=timezone.now(),
        )  # fmt: skip
        client.sid = user_session.session_token
        return client

    return device


def test_a_new_device_is_told_to_those_that_are_signed_in(alice, bob, device, pushed, run_tasks):
    phone = device(alice)
    device(bob)
    lifecycle.start(user=alice, client=Client(user_agent="another"), device_fingerprint="never seen")
    run_tasks()
    (push,) = pushed
    assert push.registration_id == PushRegistration.objects.get(user_session__session_token=phone.sid).pk
    assert push.data == {
        "notice": "new_device",
        "title": "Security notice",
        "body": "Somebody signed in to your account on a new device.",
    }


def test_a_lockout_is_told_once(alice, api, device, pushed, run_tasks):
    device(alice)
    for _ in range(7):
        api.post(LOGIN, {"username": "alice", "password": "wrong"})
    run_tasks()
    assert [push.data["notice"] for push in pushed] == ["lockout"]


def test_who_changed_the_password_is_not_told_so_by_push(alice, device, pushed, run_tasks):
    phone, tablet = device(alice), device(alice)
    for client in (phone, tablet):
        security_events.store(None, user_id=alice.pk, kind="password_changed", at=timezone.now(), session_id=client.sid)
    run_tasks()
    told = [push.token for push in pushed if push.data["notice"] == "password_changed"]
    assert told == [str(tablet.started.user_session.pk), str(phone.started.user_session.pk)]  # each of the other's


def test_a_device_that_shows_nothing_is_told_that_there_is_something(alice, device, pushed, run_tasks):
    device(alice, show="nothing")
    security_events.store(None, user_id=alice.pk, kind="lockout", at=timezone.now())
    run_tasks()
    (push,) = pushed
    assert push.data == {"notice": "lockout"}
    assert (push.title, push.body) == ("", "Something happened to your account.")


def test_who_wants_no_pushes_gets_none(alice, device, pushed, run_tasks):
    device(alice)
    type(alice).objects.filter(pk=alice.pk).update(push_notifications=False)
    security_events.store(None, user_id=alice.pk, kind="lockout", at=timezone.now())
    run_tasks()
    assert pushed == []


def test_what_is_no_news_or_reaches_nobody_is_no_task(alice, bob, device, monkeypatch):
    device(alice)
    asked = []
    monkeypatch.setattr(type(notices.push_notice), "enqueue", lambda self, **arguments: asked.append(arguments))
    security_events.store(None, user_id=alice.pk, kind="login", at=timezone.now())
    security_events.store(None, user_id=bob.pk, kind="lockout", at=timezone.now())
    assert asked == []
    security_events.store(None, user_id=alice.pk, kind="lockout", at=timezone.now())
    assert len(asked) == 1


@pytest.mark.parametrize(("language", "text"), [("fr", "Avis de sécurité"), ("ar", "إشعار أمني")])
def test_a_notice_is_in_the_language_of_its_reader(alice, device, pushed, run_tasks, language, text):
    device(alice)
    type(alice).objects.filter(pk=alice.pk).update(language=language)
    security_events.store(None, user_id=alice.pk, kind="lockout", at=timezone.now())
    run_tasks()
    assert pushed[0].title == text
    assert pushed[0].body != notices.TEXTS["lockout"]
