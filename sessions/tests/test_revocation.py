"""Revocation is instant, for whoever it is and however it comes about."""

import uuid

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from common.client import Client
from common.errors import NoActiveAccount, NotFound, TokenNotValid
from common.signals import security_event, session_revoked, sessions_ending, user_closing, user_suspended
from sessions.authentication import authenticate
from sessions.models import UserSession
from sessions.services import lifecycle, validity
from sessions.tests.clock import LOGOUT, LOGOUT_ALL, REFRESH, SESSIONS, VERIFY, envelope, later


@pytest.fixture
def revoked():
    """The `session_revoked` signals sent."""
    seen = []

    def receive(sids, user_id, reason, **kwargs):
        seen.append((set(sids), user_id, reason))

    session_revoked.connect(receive)
    yield seen
    session_revoked.disconnect(receive)


def is_dead(api, started, reason="session_revoked"):
    pair = started.tokens
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    envelope(api.get(SESSIONS), 401, "token_not_valid", reason, "login")
    api.credentials()
    envelope(api.post(REFRESH, {"refresh": pair.refresh}), 401, "token_not_valid", reason, "login")
    for token in (pair.access, pair.refresh):
        envelope(api.post(VERIFY, {"token": token}), 401, "token_not_valid", reason, "login")
    return True


def test_a_revoked_session_is_dead_at_the_next_request(api, alice_api, django_capture_on_commit_callbacks, revoked):
    sid = alice_api.started.user_session.session_token
    with django_capture_on_commit_callbacks(execute=True):
        response = alice_api.post(f"{SESSIONS}{sid}/revoke/")
    assert (response.status_code, response.json()) == (200, {"success": True})
    assert is_dead(api, alice_api.started)
    assert revoked == [({sid}, alice_api.started.user_session.user_id, "revoked")]


@pytest.mark.parametrize("call", ["post", "delete"])
def test_revoking_is_idempotent(sign_in, alice, call):
    one, other = sign_in(alice), sign_in(alice)
    sid = other.started.user_session.session_token
    for _ in range(3):
        path = f"{SESSIONS}{sid}/revoke/" if call == "post" else f"{SESSIONS}{sid}/"
        response = getattr(one, call)(path)
        assert (response.status_code, response.json()) == (200, {"success": True})
    assert one.get(SESSIONS).status_code == 200


@pytest.mark.parametrize("path", ["{}/revoke/", "{}/"])
def test_a_stranger_s_session_does_not_exist(alice_api, bob_api, path):
    own = bob_api.started.user_session.session_token
    for sid in (own, uuid.uuid4(), "nonsense", "00", "%27%20OR%201=1"):
        target = SESSIONS + path.format(sid)
        call = alice_api.post if "revoke" in path else alice_api.delete
        envelope(call(target), 404, "not_found", action="none")
        if "revoke" not in path:
            envelope(alice_api.patch(target, {"device_name": "x"}), 404, "not_found", action="none")
    assert bob_api.get(SESSIONS).status_code == 200


def test_logout_all_ends_every_session_and_counts_them(api, sign_in, alice, bob_api):
    clients = [sign_in(alice) for _ in range(3)]
    response = clients[0].post(LOGOUT_ALL)
    assert response.json() == {"success": True, "revoked": 3}
    assert all(is_dead(api, client.started) for client in clients)
    assert bob_api.get(SESSIONS).status_code == 200


def test_logout_all_may_keep_the_current_session(api, sign_in, alice):
    clients = [sign_in(alice) for _ in range(3)]
    response = clients[0].post(LOGOUT_ALL, {"keep_current": True})
    assert response.json() == {"success": True, "revoked": 2}
    assert clients[0].get(SESSIONS).status_code == 200
    assert all(is_dead(api, client.started) for client in clients[1:])


def test_without_a_token_keep_current_keeps_nothing(api, sign_in, alice):
    sign_in(alice)
    api.force_authenticate(user=alice)
    assert api.post(LOGOUT_ALL, {"keep_current": True}).json() == {"success": True, "revoked": 1}


@pytest.mark.parametrize(
    "tokens",
    [("access", None), (None, "refresh"), ("access", "refresh")],
    ids=["bearer alone", "refresh alone", "both"],
)
def test_logout_ends_the_session_by_either_token(api, alice_api, tokens):
    pair = alice_api.started.tokens
    access, refresh = tokens
    headers = {"Authorization": f"Bearer {pair.access}"} if access else {}
    body = {"refresh": pair.refresh} if refresh else {}
    for _ in range(3):
        response = api.post(LOGOUT, body, headers=headers)
        assert (response.status_code, response.json()) == (200, {"success": True})
    assert is_dead(api, alice_api.started)


def test_an_expired_bearer_still_logs_out(api, alice_api):
    with later(hours=2):
        pair = alice_api.started.tokens
        assert api.post(LOGOUT, headers={"Authorization": f"Bearer {pair.access}"}).json() == {"success": True}
        envelope(api.post(REFRESH, {"refresh": pair.refresh}), 401, "token_not_valid", "session_revoked", "login")


def test_tokens_of_two_sessions_end_both(api, sign_in, alice):
    one, other = sign_in(alice).started, sign_in(alice).started
    api.post(LOGOUT, {"refresh": other.tokens.refresh}, headers={"Authorization": f"Bearer {one.tokens.access}"})
    assert is_dead(api, one)
    assert is_dead(api, other)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer a b", "Bearer nonsense", "Bearer \u00e9", "Basic YTpi"]
)
@pytest.mark.parametrize("body", [None, {}, {"refresh": "nonsense"}, {"refresh": ""}, {"refresh": None}])
def test_logout_of_nobody_is_a_success(api, alice_api, authorization, body):
    response = api.post(LOGOUT, body, HTTP_AUTHORIZATION=authorization)
    assert (response.status_code, response.json()) == (200, {"success": True})
    assert alice_api.get(SESSIONS).status_code == 200


@pytest.mark.parametrize("body", [[], "text", {"refresh": {"a": 1}}, {"refresh": ["x"]}])
def test_logout_with_a_body_of_the_wrong_shape_is_400_where_nothing_else_is_sent(api, db, body):
    envelope(api.post(LOGOUT, body), 400, "validation_error")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("null", "application/json"), ("[]", "application/json"), ('"x"', "application/json"), ("{", "application/json"),
     ('{"refresh": {"a": 1}}', "application/json"), ("refresh=x", "application/x-www-form-urlencoded"),
     ("bye", "text/plain"), ("", ""), ("\udcff", "application/json")],
)  # fmt: skip
def test_logout_ends_the_bearers_session_whatever_the_body_holds(alice_api, body, content_type):
    raw = body.encode("utf-8", "surrogateescape")
    response = alice_api.generic("POST", LOGOUT, raw, content_type=content_type)
    assert (response.status_code, response.json()) == (200, {"success": True})
    assert alice_api.get(SESSIONS).json()["reason"] == "session_revoked"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("null", "application/json"), ("[]", "application/json"), ('"x"', "application/json"), ("{", "application/json"),
     ("keep_current=x", "application/x-www-form-urlencoded"), ("bye", "text/plain"), ("", "")],
)  # fmt: skip
def test_logout_all_ends_them_all_where_the_body_holds_no_wish(alice_api, body, content_type):
    response = alice_api.generic("POST", LOGOUT_ALL, body, content_type=content_type)
    assert (response.status_code, response.json()["success"]) == (200, True)
    assert alice_api.get(SESSIONS).json()["reason"] == "session_revoked"


def test_logout_all_asks_what_a_wish_means_that_is_none(alice_api):
    envelope(alice_api.post(LOGOUT_ALL, {"keep_current": "perhaps"}), 400, "validation_error")
    assert alice_api.get(SESSIONS).status_code == 200


def test_a_token_from_before_a_password_change_logs_nobody_out(api, alice_api):
    old = alice_api.started.tokens
    pair = lifecycle.reissue(user_session=alice_api.started.user_session)
    api.post(LOGOUT, {"refresh": old.refresh}, headers={"Authorization": f"Bearer {old.access}"})
    assert api.post(VERIFY, {"token": pair.refresh}).status_code == 200


def test_a_disabled_person_loses_everything(api, alice, alice_api, revoked, django_capture_on_commit_callbacks):
    suspended = []

    def receive(user_id, **kwargs):
        suspended.append(user_id)

    user_suspended.connect(receive)
    with django_capture_on_commit_callbacks(execute=True):
        alice.is_active = False
        alice.save()
    assert is_dead(api, alice_api.started, "user_inactive")
    assert revoked == [({alice_api.started.user_session.session_token}, alice.pk, "account_disabled")]
    assert suspended == [alice.pk]
    # Enabled again, the old session stays ended.
    alice.is_active = True
    alice.save()
    assert is_dead(api, alice_api.started)


def test_a_person_disabled_behind_django_s_back_loses_access_at_once(api, alice, alice_api):
    get_user_model().objects.filter(pk=alice.pk).update(is_active=False)
    assert is_dead(api, alice_api.started, "user_inactive")


def test_a_deleted_person_loses_everything(api, alice, alice_api, revoked, django_capture_on_commit_callbacks):
    sid, user_id = alice_api.started.user_session.session_token, alice.pk
    with django_capture_on_commit_callbacks(execute=True):
        alice.delete()
    assert is_dead(api, alice_api.started, "user_inactive")
    assert revoked == [({sid}, user_id, "account_disabled")]


def test_a_session_row_that_is_gone_is_a_revoked_session(api, alice_api):
    UserSession.objects.all().delete()
    assert is_dead(api, alice_api.started)


def test_nothing_is_told_of_a_revocation_that_was_rolled_back(alice_api, revoked, django_capture_on_commit_callbacks):
    row = alice_api.started.user_session
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        lifecycle.revoke(user_id=row.user_id, sid=row.session_token)
        transaction.set_rollback(True)
    assert revoked == []
    assert alice_api.get(SESSIONS).status_code == 200


def test_a_receiver_that_fails_keeps_nobody_from_hearing(alice_api, revoked, django_capture_on_commit_callbacks):
    def fail(**kwargs):
        raise RuntimeError("no")

    session_revoked.connect(fail)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            row = alice_api.started.user_session
            assert lifecycle.revoke(user_id=row.user_id, sid=row.session_token) is True
    finally:
        session_revoked.disconnect(fail)
    assert len(revoked) == 1


def test_writes_of_a_socket_check_their_session(alice_api, bob_api):
    living = alice_api.started.user_session
    validity.require_living(living.pk)
    lifecycle.revoke(user_id=living.user_id, sid=living.session_token)
    with pytest.raises(TokenNotValid):
        validity.require_living(living.pk)
    other = bob_api.started.user_session.pk
    with transaction.atomic():
        assert validity.living_ids([living.pk, other, 10**9]) == {other}
    with later(days=8):
        assert validity.living_ids([other]) == set()


def test_a_login_that_a_password_reset_overtook_starts_no_session(alice):
    checked = get_user_model().objects.get(pk=alice.pk)
    from django.utils import timezone

    get_user_model().objects.filter(pk=alice.pk).update(password_changed_at=timezone.now())
    with pytest.raises(NoActiveAccount):
        lifecycle.start(user=checked, client=Client())
    checked = get_user_model().objects.get(pk=alice.pk)
    get_user_model().objects.filter(pk=alice.pk).rewrite(password="another hash")
    with pytest.raises(NoActiveAccount):
        lifecycle.start(user=checked, client=Client())
    alice.is_active = False
    alice.save()
    with pytest.raises(NoActiveAccount):
        lifecycle.start(user=alice, client=Client())
    assert not UserSession.objects.exists()


def test_revoke_knows_only_the_person_s_own(alice_api, bob):
    with pytest.raises(NotFound):
        lifecycle.revoke(user_id=bob.pk, sid=alice_api.started.user_session.session_token)


def test_a_reuse_is_revoked_although_its_event_could_not_be_stored(api, alice_api):
    def fail(kind, **kwargs):
        if kind == "refresh_reused":
            raise RuntimeError("disk full")

    first = api.post(REFRESH, {"refresh": alice_api.started.tokens.refresh}).json()
    api.post(REFRESH, {"refresh": first["refresh"]})
    security_event.connect(fail)
    try:
        envelope(
            api.post(REFRESH, {"refresh": alice_api.started.tokens.refresh}), 401, "token_not_valid", "token_reused"
        )
    finally:
        security_event.disconnect(fail)
    assert UserSession.objects.get().end_reason == "token_reused"


@pytest.mark.django_db(transaction=True)
def test_the_revocation_for_a_reuse_outlives_its_error_under_atomic_requests(api, sign_in, person):
    from django.db import connection

    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        started = sign_in(person("dora")).started
        first = api.post(REFRESH, {"refresh": started.tokens.refresh}).json()
        api.post(REFRESH, {"refresh": first["refresh"]})
        envelope(api.post(REFRESH, {"refresh": started.tokens.refresh}), 401, "token_not_valid", "token_reused")
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert UserSession.objects.get().end_reason == "token_reused"
    with pytest.raises(TokenNotValid):
        authenticate(first["access"])


def test_a_logout_everywhere_is_told_also_where_nothing_was_left_to_end(alice, alice_api):
    told = []

    def hear(user_id, reason, everywhere, **kwargs):
        told.append((user_id, reason, everywhere))

    sessions_ending.connect(hear)
    assert alice_api.post(LOGOUT_ALL, {"keep_current": True}).json()["revoked"] == 0
    assert told == [(alice.pk, "logout_all", True)]


def test_a_closed_account_leaves_no_address_or_device(
    alice, alice_api, bob_api, revoked, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        user_closing.send(sender=None, user_id=alice.pk)
    assert list(UserSession.objects.values_list("user_id", flat=True)) == [bob_api.started.user_session.user_id]
    assert revoked == [({alice_api.started.user_session.session_token}, alice.pk, "account_closed")]


def test_the_export_holds_the_person_s_sessions(alice, sign_in, bob_api):
    from sessions.receivers import export_sessions

    ended, living = sign_in(alice).started.user_session, sign_in(alice).started.user_session
    lifecycle.revoke(user_id=alice.pk, sid=ended.session_token)
    rows = export_sessions(user_id=alice.pk)["sessions"]
    assert [row["id"] for row in rows] == [living.session_token, ended.session_token]
    assert rows[1]["end_reason"] == "revoked"
    assert not {"refresh_claims", "current_jti"} & set(rows[0])
