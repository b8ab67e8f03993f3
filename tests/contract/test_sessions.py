"""Contract §3 from outside."""

import threading
import uuid
from datetime import datetime

import httpx
import jwt
import pytest

from tests.contract.conftest import Person, Server, assert_envelope, http

pytestmark = pytest.mark.live

SESSION_KEYS = {
    "id", "is_current", "device_name", "device_fingerprint", "ip_address", "location", "user_agent", "client",
    "created_at", "last_seen_at", "idle_expires_at", "absolute_expires_at", "remember_me", "sockets", "auth_time", "amr",
}  # fmt: skip
LOGIN_KEYS = {
    "access", "refresh", "token_type", "access_expires_in", "refresh_expires_in", "server_time", "user", "session",
    "device_token",
}  # fmt: skip
DAY = 86_400


def refresh(server: Server, token: str) -> httpx.Response:
    return http.post(server.base + "/api/auth/token/refresh/", json={"refresh": token})


def verify(server: Server, token: str) -> httpx.Response:
    return http.post(server.base + "/api/auth/token/verify/", json={"token": token})


def claims(token: str) -> dict:
    return jwt.decode(token, options={"verify_signature": False})


def test_login_answers_exactly_the_contracts_keys(alice: Person) -> None:
    login = alice.login
    assert set(login) == LOGIN_KEYS
    assert set(login["session"]) == SESSION_KEYS
    assert login["token_type"] == "Bearer"
    assert login["session"]["is_current"] is True
    assert login["session"]["location"] is None  # a loopback address is nowhere
    assert set(login["session"]["client"]) == {"browser", "os", "device"}
    assert 3_590 <= login["access_expires_in"] <= 3_600
    assert 7 * DAY - 10 <= login["refresh_expires_in"] <= 7 * DAY
    assert login["server_time"].endswith("Z")
    for token, kind in ((login["access"], "access"), (login["refresh"], "refresh")):
        body = claims(token)
        assert {"token_type", "exp", "iat", "jti", "user_id", "sid", "gen"} <= set(body)
        assert body["token_type"] == kind
        assert body["user_id"] == str(login["user"]["id"])
        assert body["sid"] == login["session"]["id"]


def test_remember_me_lasts_30_and_90_days(alice: Person) -> None:
    session = alice.sign_in(remember_me=True)["session"]

    def days(end: str) -> float:
        return (
            datetime.fromisoformat(session[end]) - datetime.fromisoformat(session["created_at"])
        ).total_seconds() / DAY

    assert session["remember_me"] is True
    assert days("idle_expires_at") == pytest.approx(30, abs=0.01)
    assert days("absolute_expires_at") == pytest.approx(90, abs=0.01)


def test_refresh_answers_like_login_without_user(server: Server, alice: Person) -> None:
    answer = refresh(server, alice.login["refresh"])
    assert answer.status_code == 200
    assert LOGIN_KEYS - {"user", "device_token"} <= set(answer.json())
    assert "user" not in answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert "x-refresh-replayed" not in answer.headers


@pytest.mark.promise
def test_a_retry_gets_the_same_successor_byte_for_byte(server: Server, alice: Person) -> None:
    first = refresh(server, alice.login["refresh"])
    again = refresh(server, alice.login["refresh"])
    assert again.status_code == 200
    assert again.headers["x-refresh-replayed"] == "1"
    assert again.json()["refresh"] == first.json()["refresh"]
    assert alice.get("users/me/", access=again.json()["access"]).status_code == 200


@pytest.mark.promise
def test_eight_parallel_refreshes_make_one_successor(server: Server, alice: Person) -> None:
    answers: list[httpx.Response] = []
    barrier = threading.Barrier(8)

    def one() -> None:
        barrier.wait()
        answers.append(refresh(server, alice.login["refresh"]))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["refresh"] for answer in answers}) == 1
    assert sum("x-refresh-replayed" in answer.headers for answer in answers) == 7


@pytest.mark.promise
def test_a_token_older_than_the_parent_revokes_the_session(server: Server, alice: Person) -> None:
    first = alice.login["refresh"]
    second = refresh(server, first).json()["refresh"]
    third = refresh(server, second).json()
    assert_envelope(refresh(server, first), 401, "token_not_valid", reason="token_reused", action="login")
    assert_envelope(refresh(server, third["refresh"]), 401, "token_not_valid", reason="session_revoked", action="login")
    assert_envelope(
        alice.get("users/me/", access=third["access"]), 401, "token_not_valid", reason="session_revoked", action="login"
    )


def test_verify(server: Server, alice: Person) -> None:
    old = alice.login["refresh"]
    assert verify(server, alice.access).status_code == 200
    assert verify(server, alice.access).json() == {}
    assert verify(server, old).status_code == 200
    new = refresh(server, old).json()["refresh"]
    assert_envelope(verify(server, old), 401, "token_not_valid")
    assert verify(server, new).status_code == 200
    assert_envelope(verify(server, "nonsense"), 401, "token_not_valid", reason="invalid")


@pytest.mark.parametrize("prefix", ["auth", "users/auth"])
def test_logout_ends_the_session_and_is_idempotent(server: Server, alice: Person, prefix: str) -> None:
    login = alice.sign_in()
    for _ in range(2):
        answer = alice.post(f"{prefix}/logout/", {"refresh": login["refresh"]}, access=login["access"])
        assert answer.status_code == 200
        assert answer.json() == {"success": True}
    assert alice.get("users/me/", access=login["access"]).status_code == 401
    assert refresh(server, login["refresh"]).status_code == 401
    assert alice.get("users/me/").status_code == 200


def test_logout_works_with_the_refresh_token_alone_or_the_bearer_alone(server: Server, alice: Person) -> None:
    one, two = alice.sign_in(), alice.sign_in()
    assert http.post(server.base + "/api/auth/logout/", json={"refresh": one["refresh"]}).json() == {"success": True}
    assert refresh(server, one["refresh"]).status_code == 401
    assert alice.post("auth/logout/", access=two["access"]).json() == {"success": True}
    assert refresh(server, two["refresh"]).status_code == 401


def test_logout_all_counts_and_can_keep_the_current(server: Server, alice: Person) -> None:
    for _ in range(2):
        alice.sign_in()
    assert alice.post("auth/logout-all/", {"keep_current": True}).json() == {"success": True, "revoked": 2}
    assert alice.get("users/me/").status_code == 200
    assert alice.post("users/auth/logout-all/").json() == {"success": True, "revoked": 1}
    assert alice.get("users/me/").status_code == 401


def test_the_list_shows_living_sessions_newest_first(alice: Person) -> None:
    other = alice.sign_in(device_name="Phone", device_fingerprint="abcdefghijkl")
    sessions = alice.get("users/sessions/").json()["results"]
    assert {session["id"] for session in sessions} == {alice.login["session"]["id"], other["session"]["id"]}
    assert all(set(session) == SESSION_KEYS for session in sessions)
    phone = next(session for session in sessions if session["id"] == other["session"]["id"])
    assert (phone["device_name"], phone["device_fingerprint"], phone["is_current"]) == ("Phone", "ghijkl", False)


def test_one_session_per_fingerprint_and_one_more_without(server: Server, alice: Person) -> None:
    first = alice.sign_in(device_fingerprint="phone-1")
    second = alice.sign_in(device_fingerprint="phone-1")
    assert_envelope(alice.get("users/me/", access=first["access"]), 401, "token_not_valid", reason="session_revoked")
    assert alice.get("users/me/", access=second["access"]).status_code == 200
    assert len(alice.get("users/sessions/").json()["results"]) == 2


@pytest.mark.promise
def test_revoke_is_instant_idempotent_and_only_ones_own(server: Server, alice: Person, bob: Person) -> None:
    victim = alice.sign_in()
    sid = victim["session"]["id"]
    assert_envelope(bob.post(f"users/sessions/{sid}/revoke/"), 404, "not_found")
    assert_envelope(bob.call("DELETE", f"users/sessions/{sid}/"), 404, "not_found")
    assert_envelope(alice.post(f"users/sessions/{uuid.uuid4()}/revoke/"), 404, "not_found")
    assert_envelope(alice.post("users/sessions/nonsense/revoke/"), 404, "not_found")
    assert alice.get("users/me/", access=victim["access"]).status_code == 200
    for _ in range(2):
        assert alice.post(f"users/sessions/{sid}/revoke/").json() == {"success": True}
    assert alice.call("DELETE", f"users/sessions/{sid}/").json() == {"success": True}
    assert_envelope(
        alice.get("users/me/", access=victim["access"]),
        401,
        "token_not_valid",
        reason="session_revoked",
        action="login",
    )
    assert_envelope(
        refresh(server, victim["refresh"]), 401, "token_not_valid", reason="session_revoked", action="login"
    )


def test_a_session_can_be_renamed(alice: Person, bob: Person) -> None:
    sid = alice.login["session"]["id"]
    answer = alice.call("PATCH", f"users/sessions/{sid}/", {"device_name": "My phone"})
    assert answer.status_code == 200
    assert answer.json()["device_name"] == "My phone"
    assert_envelope(bob.call("PATCH", f"users/sessions/{sid}/", {"device_name": "x"}), 404, "not_found")
    assert_envelope(alice.call("PATCH", f"users/sessions/{sid}/", {"device_name": 5 * ["x"]}), 400, "validation_error")


def test_an_access_token_at_refresh_is_wrong_type_and_asks_for_login(server: Server, alice: Person) -> None:
    assert_envelope(refresh(server, alice.access), 401, "token_not_valid", reason="wrong_type", action="login")
    assert_envelope(refresh(server, "x"), 401, "token_not_valid", reason="invalid", action="login")
    assert_envelope(http.post(server.base + "/api/auth/token/refresh/", json={}), 400, "validation_error")


def test_the_jwks_is_public(server: Server) -> None:
    assert http.get(server.base + "/.well-known/jwks.json").status_code in (200, 404)
