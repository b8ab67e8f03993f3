"""The security timeline: what is kept, who reads it, what is counted together, when it goes."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import time_machine

from common import purging
from common.client import Client
from common.json import isoformat
from common.signals import security_event
from sessions.services import lifecycle
from users import security_events
from users.models import SecurityEvent

pytestmark = pytest.mark.django_db
PATH = "/api/users/me/security-events/"
NOW = datetime(2026, 11, 21, 10, 0, 0, 123_000, tzinfo=UTC)
ALGIERS = "41.100.1.1"
PHONE = "Mozilla/5.0 (Android 14; Mobile; rv:130.0) Gecko/130.0 Firefox/130.0"


def tell(user, kind="login", at=NOW, client=None, session_id=None, **detail):
    security_event.send(
        sender=object, user_id=user.pk, kind=kind, at=at, client=client, session_id=session_id, detail=detail
    )
    return SecurityEvent.objects.filter(user=user, kind=kind).latest("at")


def test_nobody_reads_a_timeline_without_signing_in(api):
    answer = api.get(PATH)
    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"


def test_a_stranger_sees_only_their_own_timeline(alice, bob, sign_in):
    tell(alice, "lockout")
    kinds = [event["kind"] for event in sign_in(bob).get(PATH).json()["results"]]
    assert "lockout" not in kinds


def test_an_event_says_what_when_where_from_and_which_device(alice, api):
    sid = uuid.uuid4()
    tell(alice, client=Client(ip_address=ALGIERS, user_agent=PHONE), session_id=sid)
    api.force_authenticate(alice)
    event = api.get(PATH, headers={"accept-language": "fr"}).json()["results"][0]
    assert set(event) == {"id", "kind", "at", "ip_address", "location", "client", "session_id", "detail"}
    assert event["at"] == "2026-11-21T10:00:00.123Z"
    assert event["ip_address"] == ALGIERS
    assert event["location"] == {"country": "DZ", "country_name": "Algérie", "region": None, "city": None}
    assert event["client"]["browser"].startswith("Firefox")
    assert event["session_id"] == str(sid)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_a_timeline_is_read_only(alice, api, method):
    api.force_authenticate(alice)
    assert getattr(api, method)(PATH, {}).status_code == 405


def test_a_timeline_is_paginated_newest_first(alice, api):
    for minute in range(5):
        tell(alice, at=NOW + timedelta(minutes=minute), minute=minute)
    api.force_authenticate(alice)
    page = api.get(PATH, {"limit": 2}).json()
    assert [event["detail"]["minute"] for event in page["results"]] == [4, 3]
    page = api.get(page["next"]).json()
    assert [event["detail"]["minute"] for event in page["results"]] == [2, 1]
    assert page["previous"]


@pytest.mark.parametrize("query", [{"cursor": "rubbish"}, {"limit": "-1"}, {"limit": "x"}, {"cursor": "\x00"}])
def test_a_bad_page_is_no_error_of_ours(alice, api, query):
    api.force_authenticate(alice)
    assert api.get(PATH, query).status_code in {200, 400, 404}


def test_wrong_passwords_from_one_address_are_one_line_with_a_count(alice):
    for second in range(4):
        tell(alice, "login_failed", NOW + timedelta(seconds=second), Client(ip_address=ALGIERS))
    tell(alice, "login_failed", NOW, Client(ip_address="2001:db8::1"))
    rows = SecurityEvent.objects.filter(user=alice, kind="login_failed")
    assert {row.ip_address: row.detail["count"] for row in rows} == {ALGIERS: 4, "2001:db8::1": 1}
    assert rows.get(ip_address=ALGIERS).at == NOW
    tell(alice, "login_failed", NOW + timedelta(minutes=11), Client(ip_address=ALGIERS))
    assert rows.filter(ip_address=ALGIERS).count() == 2


def test_replays_are_counted_by_session(alice):
    one, other = uuid.uuid4(), uuid.uuid4()
    for sid in (one, one, other):
        tell(alice, "refresh_replayed", session_id=sid)
    assert SecurityEvent.objects.filter(kind="refresh_replayed").count() == 2


def test_other_kinds_are_never_put_together(alice):
    tell(alice, "lockout")
    tell(alice, "lockout")
    assert SecurityEvent.objects.filter(kind="lockout").count() == 2


@pytest.mark.parametrize(("kind", "mail"), [("new_device", "new_sign_in"), ("refresh_reused", "token_reused")])
def test_what_the_owner_must_know_is_mailed(alice, monkeypatch, kind, mail):
    sent = []
    monkeypatch.setattr(
        "users.mail.enqueue.send", lambda user_id, name, **context: sent.append((user_id, name, context))
    )
    event = tell(alice, kind)
    assert sent == [(alice.pk, mail, {"event_id": str(event.pk)})]


def test_a_revoked_session_is_told(alice):
    client = Client(ip_address=ALGIERS, user_agent=PHONE)
    started = lifecycle.start(user=alice, client=client)
    lifecycle.revoke(user_id=alice.pk, sid=started.user_session.session_token, reason="revoked", client=client)
    event = SecurityEvent.objects.get(kind="session_revoked")
    assert event.session_id == started.user_session.session_token
    assert event.ip_address == ALGIERS
    assert event.detail == {"reason": "revoked"}
    assert event.client["browser"].startswith("Firefox")


def test_each_event_is_a_log_line_of_a_stable_name_after_commit(alice, django_capture_on_commit_callbacks):
    with structlog.testing.capture_logs() as before, django_capture_on_commit_callbacks() as callbacks:
        tell(alice, "lockout", client=Client(ip_address=ALGIERS))
    assert not [line for line in before if line["event"].startswith("security.")]
    with structlog.testing.capture_logs() as lines:
        for callback in callbacks:
            callback()
    line = next(line for line in lines if line["event"] == "security.lockout")
    assert line["user_id"] == alice.pk
    assert line["country"] == "DZ"


def test_old_events_are_purged_and_young_ones_kept(alice, settings):
    settings.SECURITY_EVENT_RETENTION_DAYS = 30
    tell(alice, at=NOW - timedelta(days=31))
    kept = tell(alice, at=NOW - timedelta(days=29))
    with time_machine.travel(NOW, tick=False):
        purge = next(purge for purge in purging.registered() if purge.name == "security events")
        assert (purge.batch(500), purge.batch(500)) == (1, 0)
        assert list(SecurityEvent.objects.all()) == [kept]
        settings.SECURITY_EVENT_RETENTION_DAYS = 0
        assert not security_events.outlived().exists()


def test_the_end_of_a_lockout_is_written_like_every_time(alice, api):
    with time_machine.travel(NOW, tick=False):
        for _ in range(5):
            api.post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    api.force_authenticate(alice)
    lockout = next(event for event in api.get(PATH).json()["results"] if event["kind"] == "lockout")
    assert lockout["detail"] == {"locked_until": isoformat(NOW + timedelta(minutes=30))}
