"""One parent, one successor."""

import jwt
import pytest
import time_machine
from django.db import InterfaceError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from common.errors import TokenNotValid
from common.signals import security_event
from sessions.models import UserSession
from sessions.services import lifecycle
from sessions.tests.clock import REFRESH, SESSIONS, VERIFY, envelope, later


def refresh(api, token, **headers):
    return api.post(REFRESH, {"refresh": token}, headers=headers)


def bearer(access):
    return {"Authorization": f"Bearer {access}"}


@pytest.fixture
def events():
    """The security events sent, as (kind, session_id)."""
    seen = []

    def receive(kind, session_id, **kwargs):
        seen.append((kind, session_id))

    security_event.connect(receive)
    yield seen
    security_event.disconnect(receive)


@pytest.fixture
def started(sign_in, alice):
    return sign_in(alice, device_fingerprint="alice-phone").started


def test_a_refresh_answers_like_login_without_user(api, started):
    response = refresh(api, started.tokens.refresh)

    body = response.json()
    assert set(body) == {
        "access", "refresh", "token_type", "access_expires_in", "refresh_expires_in", "server_time", "session"
    }  # fmt: skip
    assert body["token_type"] == "Bearer"
    assert body["access_expires_in"] == 3600
    assert body["refresh_expires_in"] == 7 * 86_400
    assert body["session"]["id"] == str(started.user_session.session_token)
    assert body["session"]["is_current"] is True
    assert response["Cache-Control"] == "no-store"
    assert "X-Refresh-Replayed" not in response
    assert body["refresh"] != started.tokens.refresh


def test_both_prefixes_are_the_same_view(api, started):
    assert api.post("/api/users/auth/token/refresh/", {"refresh": started.tokens.refresh}).status_code == 200


def test_the_claims_are_the_contract_s(started):
    for token, kind in ((started.tokens.access, "access"), (started.tokens.refresh, "refresh")):
        claims = jwt.decode(token, options={"verify_signature": False})
        assurance = ["auth_time", "amr"] if kind == "access" else []
        assert list(claims) == ["token_type", "exp", "iat", "jti", "user_id", "sid", "gen", *assurance]
        assert claims["token_type"] == kind
        assert claims["user_id"] == str(started.user_session.user_id)
        assert claims["sid"] == str(started.user_session.session_token)


def test_the_parent_again_gets_the_same_bytes(api, started):
    first = refresh(api, started.tokens.refresh)
    again = refresh(api, started.tokens.refresh)

    assert again.status_code == 200
    assert again["X-Refresh-Replayed"] == "1"
    assert again.json()["refresh"] == first.json()["refresh"]


def test_a_lost_answer_may_be_asked_again_after_days_while_the_successor_is_unused(api, started):
    first = refresh(api, started.tokens.refresh).json()
    with later(days=6):
        again = refresh(api, started.tokens.refresh)
    assert again.status_code == 200
    assert again.json()["refresh"] == first["refresh"]


def test_the_parent_is_reuse_once_the_successor_s_access_token_was_seen(api, started):
    pair = refresh(api, started.tokens.refresh).json()
    assert api.get(SESSIONS, headers=bearer(pair["access"])).status_code == 200
    with later(minutes=10):
        envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "token_reused", "login")
        envelope(refresh(api, pair["refresh"]), 401, "token_not_valid", "session_revoked", "login")
        envelope(api.get(SESSIONS, headers=bearer(pair["access"])), 401, "token_not_valid", "session_revoked")


def test_within_the_interval_a_used_successor_does_no_harm(api, started):
    pair = refresh(api, started.tokens.refresh).json()
    api.get(SESSIONS, headers=bearer(pair["access"]))
    with later(seconds=28):
        assert refresh(api, started.tokens.refresh).json()["refresh"] == pair["refresh"]
    with later(seconds=32):
        envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "token_reused")


@pytest.mark.parametrize("seconds", [90, -90], ids=["ahead", "behind"])
def test_a_retry_at_a_host_whose_clock_is_wrong_is_no_reuse(api, started, host_ahead, seconds):
    with host_ahead(seconds=seconds):
        pair = refresh(api, started.tokens.refresh).json()
        assert api.get(SESSIONS, headers=bearer(pair["access"])).status_code == 200
    assert refresh(api, started.tokens.refresh).json()["refresh"] == pair["refresh"]
    with host_ahead(seconds=-seconds):
        assert refresh(api, started.tokens.refresh).json()["refresh"] == pair["refresh"]


def test_an_interval_of_none_leaves_the_grace_of_an_unused_successor(api, started, settings):
    settings.REFRESH_REUSE_INTERVAL = 0
    pair = refresh(api, started.tokens.refresh).json()
    assert refresh(api, started.tokens.refresh).status_code == 200
    api.get(SESSIONS, headers=bearer(pair["access"]))
    with later(seconds=1):
        envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "token_reused")


def test_an_interval_of_none_is_none_within_the_same_instant_too(api, started, settings):
    settings.REFRESH_REUSE_INTERVAL = 0
    with time_machine.travel(started.user_session.created_at, tick=False):
        pair = refresh(api, started.tokens.refresh).json()
        api.get(SESSIONS, headers=bearer(pair["access"]))
        envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "token_reused")


def test_a_grandparent_is_reuse_within_the_same_second(api, started, events):
    first = refresh(api, started.tokens.refresh).json()
    second = refresh(api, first["refresh"]).json()

    envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "token_reused", "login")

    envelope(refresh(api, second["refresh"]), 401, "token_not_valid", "session_revoked", "login")
    row = UserSession.objects.get()
    assert (row.is_active, row.end_reason) == (False, "token_reused")
    assert ("refresh_reused", row.session_token) in events


def test_a_revoked_session_has_no_grace(api, started):
    refresh(api, started.tokens.refresh)
    lifecycle.revoke(user_id=started.user_session.user_id, sid=started.user_session.session_token)
    envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "session_revoked", "login")


def test_the_access_token_of_the_older_pair_proves_nothing_of_the_newer(api, started):
    refresh(api, started.tokens.refresh)
    assert api.get(SESSIONS, headers=bearer(started.tokens.access)).status_code == 200
    with later(minutes=10):
        assert refresh(api, started.tokens.refresh).status_code == 200


def test_a_replayed_access_token_counts_as_use(api, started):
    refresh(api, started.tokens.refresh)
    again = refresh(api, started.tokens.refresh).json()
    api.get(SESSIONS, headers=bearer(again["access"]))
    assert UserSession.objects.get().successor_used is True


def test_replays_are_told_once_a_rotation(api, started, events):
    for _ in range(8):
        refresh(api, started.tokens.refresh)
    assert [kind for kind, _ in events] == ["refresh_replayed"]


def test_verify_of_a_rotated_token_is_401_and_revokes_nothing(api, started):
    pair = refresh(api, started.tokens.refresh).json()
    envelope(api.post(VERIFY, {"token": started.tokens.refresh}), 401, "token_not_valid")
    for token in (pair["refresh"], pair["access"]):
        response = api.post(VERIFY, {"token": token})
        assert (response.status_code, response.json()) == (200, {})


def test_rotated_and_revoked_tokens_stand_in_the_blacklist_without_their_text(api, started):
    pair = refresh(api, started.tokens.refresh).json()
    lifecycle.revoke(user_id=started.user_session.user_id, sid=started.user_session.session_token)

    jtis = {
        jwt.decode(token, options={"verify_signature": False})["jti"]
        for token in (started.tokens.refresh, pair["refresh"])
    }
    assert {row.token.jti for row in BlacklistedToken.objects.select_related("token")} == jtis
    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}


def test_no_token_rests_in_the_database(api, started):
    pair = refresh(api, started.tokens.refresh).json()
    for name, value in UserSession.objects.values()[0].items():
        for token in (started.tokens.refresh, started.tokens.access, pair["refresh"], pair["access"]):
            assert token not in str(value), name
            assert token.rpartition(".")[2] not in str(value), name


def test_a_retry_whose_key_has_left_the_ring_is_not_valid(api, started):
    refresh(api, started.tokens.refresh)
    UserSession.objects.update(signing_kid="gone")
    envelope(refresh(api, started.tokens.refresh), 401, "token_not_valid", "invalid", "login")


def test_a_password_change_voids_older_tokens_without_grace(api, started):
    old = refresh(api, started.tokens.refresh).json()
    pair = lifecycle.reissue(user_session=UserSession.objects.get())

    for token in (started.tokens.refresh, old["refresh"]):
        envelope(refresh(api, token), 401, "token_not_valid", "session_revoked", "login")
    envelope(api.get(SESSIONS, headers=bearer(old["access"])), 401, "token_not_valid")
    # The thief's old token must not be able to end the new one.
    assert api.get(SESSIONS, headers=bearer(pair.access)).status_code == 200
    assert refresh(api, pair.refresh).status_code == 200


def test_reissue_refuses_an_ended_session(started):
    lifecycle.revoke(user_id=started.user_session.user_id, sid=started.user_session.session_token)
    with pytest.raises(TokenNotValid, match="session_revoked"):
        lifecycle.reissue(user_session=started.user_session)


def test_a_rotation_takes_at_most_five_statements(api, started, django_assert_max_num_queries):
    with django_assert_max_num_queries(5):
        pair = refresh(api, started.tokens.refresh).json()
    with django_assert_max_num_queries(5):
        refresh(api, started.tokens.refresh)
    with django_assert_max_num_queries(5):
        refresh(api, pair["refresh"])


def test_one_query_authenticates_a_request_and_one_write_notes_a_rotation(api, started):
    pair = refresh(api, started.tokens.refresh).json()
    from sessions.authentication import authenticate

    def statements():
        with CaptureQueriesContext(connection) as captured:
            authenticate(pair["access"])
        return [query["sql"].split()[0] for query in captured]

    assert statements() == ["SELECT", "UPDATE"]
    assert statements() == ["SELECT"]
    assert statements() == ["SELECT"]
    with later(seconds=61):
        assert statements() == ["SELECT", "UPDATE"]
        assert statements() == ["SELECT"]


def test_the_rate_of_a_session_is_its_own(api, sign_in, alice, bob, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "refresh_session": "3/5min"}
    token = sign_in(alice).started.tokens.refresh
    for _ in range(3):
        assert refresh(api, token).status_code == 200
    body = envelope(refresh(api, token), 429, "throttled", action="wait")
    assert body["retry_after"] >= 1
    assert refresh(api, sign_in(bob).started.tokens.refresh).status_code == 200


def test_the_rate_of_an_address_counts_every_attempt(api, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "refresh_address": "2/5min"}
    for _ in range(2):
        envelope(refresh(api, "nonsense"), 401, "token_not_valid", "invalid", "login")
    response = refresh(api, "nonsense")
    envelope(response, 429, "throttled", action="wait")
    assert int(response["Retry-After"]) >= 1


@pytest.mark.parametrize("body", [{}, {"refresh": None}, {"refresh": ""}, {"refresh": {"a": 1}}, [], "text"])
def test_a_body_without_a_token_is_a_validation_error(api, db, body):
    envelope(api.post(REFRESH, body), 400, "validation_error")


def test_the_address_and_user_agent_of_a_session_follow_the_device(api, started):
    with later(minutes=2):
        api.post(
            REFRESH,
            {"refresh": started.tokens.refresh},
            REMOTE_ADDR="105.96.0.1",
            headers={"User-Agent": "Dart/3.2 (dart:io)"},
        )
    row = UserSession.objects.get()
    assert row.ip_address == "105.96.0.1"
    assert row.location["country"] == "DZ"
    assert row.client["browser"].startswith("Dart")
    assert row.user.last_login_ip is None


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_with_the_database_away_a_refresh_is_503_and_signs_nobody_out(api, started, monkeypatch, error):
    def away(**kwargs):
        raise error("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr("sessions.hot_sql.load", away)
        for response in (
            refresh(api, started.tokens.refresh),
            api.post(VERIFY, {"token": started.tokens.access}),
            api.get(SESSIONS, headers=bearer(started.tokens.access)),
        ):
            envelope(response, 503, "temporarily_unavailable", action="retry")
            assert int(response["Retry-After"]) >= 1
            assert "closed the connection" not in response.content.decode()
    assert refresh(api, started.tokens.refresh).status_code == 200
