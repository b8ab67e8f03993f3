"""The two ends of a session, and the clocks of two servers."""

from datetime import timedelta

import jwt
import pytest

from sessions import checks
from sessions.models import UserSession
from sessions.tests.clock import REFRESH, SESSIONS, VERIFY, envelope, later


def exp(token):
    return jwt.decode(token, options={"verify_signature": False})["exp"]


def test_an_access_token_lives_an_hour_and_the_leeway(alice_api):
    with later(seconds=3600 + 15):
        assert alice_api.get(SESSIONS).status_code == 200
    with later(seconds=3600 + 21):
        envelope(alice_api.get(SESSIONS), 401, "token_not_valid", "expired", "refresh")


def test_a_token_from_a_clock_that_ran_ahead_is_taken(alice_api):
    """`iat` refuses nothing: the order of tokens comes from `gen`."""
    for seconds in (-15, -25, -5400):
        with later(seconds=seconds):
            assert alice_api.get(SESSIONS).status_code == 200


@pytest.mark.parametrize(("remember_me", "idle", "absolute"), [(False, 7, 30), (True, 30, 90)])
def test_a_session_ends_when_idle_and_at_most(api, sign_in, alice, remember_me, idle, absolute):
    started = sign_in(alice, remember_me=remember_me).started
    row = started.user_session
    assert row.idle_expires_at - row.created_at == timedelta(days=idle)
    assert row.absolute_expires_at - row.created_at == timedelta(days=absolute)
    assert row.expires_at == row.idle_expires_at
    assert exp(started.tokens.refresh) == int(row.idle_expires_at.timestamp())

    with later(days=idle, seconds=-60):
        body = api.post(REFRESH, {"refresh": started.tokens.refresh}).json()
        assert body["session"]["remember_me"] is remember_me
    with later(days=idle, seconds=60):
        assert api.post(VERIFY, {"token": body["refresh"]}).status_code == 200
        envelope(api.post(VERIFY, {"token": started.tokens.refresh}), 401, "token_not_valid")


def test_an_idle_session_is_expired_for_every_token(api, alice_api):
    tokens = alice_api.started.tokens
    with later(days=7, seconds=1):
        envelope(alice_api.get(SESSIONS), 401, "token_not_valid", "session_expired", "login")
        envelope(api.post(REFRESH, {"refresh": tokens.refresh}), 401, "token_not_valid", "session_expired", "login")
        row = UserSession.objects.get()
        assert (row.is_active, row.end_reason, row.ended_at) == (False, "expired", row.expires_at)
        # Having been noted, it is still said to have expired, not to have been revoked.
        envelope(alice_api.get(SESSIONS), 401, "token_not_valid", "session_expired", "login")


def test_rotation_never_carries_a_session_past_its_absolute_end(api, sign_in, alice):
    started = sign_in(alice).started
    end = started.user_session.absolute_expires_at
    token = started.tokens.refresh
    for day in (6, 12, 18, 24, 29):
        with later(days=day):
            body = api.post(REFRESH, {"refresh": token}).json()
            token = body["refresh"]
            assert exp(token) <= end.timestamp()
            assert exp(body["access"]) <= end.timestamp()
    assert exp(token) == int(end.timestamp())
    with later(days=30, seconds=1):
        envelope(api.post(REFRESH, {"refresh": token}), 401, "token_not_valid", "session_expired", "login")


def test_the_absolute_end_may_be_the_earlier_one(api, sign_in, alice, settings):
    settings.SESSION_ABSOLUTE_LIFETIME = 60
    assert checks.check_lifetimes() == []
    started = sign_in(alice).started
    row = started.user_session
    assert row.expires_at == row.absolute_expires_at
    assert started.tokens.refresh_expires_in == started.tokens.access_expires_in == 60
    with later(seconds=40):
        body = api.post(REFRESH, {"refresh": started.tokens.refresh}).json()
        assert exp(body["refresh"]) == exp(started.tokens.refresh)
    with later(seconds=61):
        envelope(api.post(REFRESH, {"refresh": body["refresh"]}), 401, "token_not_valid", "session_expired", "login")


def test_an_access_token_made_near_the_end_ends_with_the_session(api, sign_in, alice, settings):
    settings.ACCESS_TOKEN_LIFETIME = 3600
    settings.SESSION_IDLE_LIFETIME = settings.SESSION_ABSOLUTE_LIFETIME = 600
    started = sign_in(alice).started
    assert started.tokens.access_expires_in == 600
    assert exp(started.tokens.access) == int(started.user_session.expires_at.timestamp())


def test_last_seen_is_written_at_most_once_a_minute(alice_api):
    start = UserSession.objects.get().last_seen_at
    with later(seconds=50):
        alice_api.get(SESSIONS)
    assert UserSession.objects.get().last_seen_at == start
    with later(seconds=70):
        alice_api.get(SESSIONS)
    assert UserSession.objects.get().last_seen_at - start > timedelta(seconds=60)
