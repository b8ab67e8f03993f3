"""Contract §1: the envelope, its headers, languages, prefixes."""

import json
import uuid

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.contract.conftest import PASSWORD, Person, Server, assert_envelope, http

pytestmark = pytest.mark.live


@pytest.mark.parametrize("path", ["/api/nothing/", "/api/auth/login", "/api/users/me", "/api/", "/api/chat/nope/"])
def test_unknown_paths_and_missing_slashes_are_404_in_the_envelope(server: Server, path: str) -> None:
    assert_envelope(http.get(server.base + path), 404, "not_found", action="none")
    assert_envelope(http.post(server.base + path, json={}), 404, "not_found")


def test_a_wrong_method_is_405(server: Server) -> None:
    assert_envelope(http.get(server.base + "/api/auth/login/"), 405, "method_not_allowed")


def test_an_accept_that_cannot_be_met_is_406(server: Server) -> None:
    answer = http.post(server.base + "/api/auth/login/", json={}, headers={"Accept": "text/csv"})
    assert_envelope(answer, 406, "not_acceptable")


def test_another_media_type_is_415(server: Server) -> None:
    answer = http.post(server.base + "/api/auth/login/", content="a=b", headers={"Content-Type": "text/plain"})
    assert_envelope(answer, 415, "unsupported_media_type")


def test_a_body_over_one_mebibyte_is_413_also_when_chunked(server: Server) -> None:
    body = b'{"username": "' + b"a" * (1024 * 1024) + b'"}'
    headers = {"Content-Type": "application/json"}
    assert http.post(server.base + "/api/auth/login/", content=body, headers=headers).status_code == 413
    chunks = (body[i : i + 65_536] for i in range(0, len(body), 65_536))
    answer = http.post(server.base + "/api/auth/login/", content=chunks, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["request_id"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'"text"', b"null", b"[" * 100_000, b'{"username": NaN}', b"\xff", b'{"username": "\\ud800"}'],
)
def test_malformed_json_is_400_never_500(server: Server, body: bytes) -> None:
    answer = http.post(server.base + "/api/auth/login/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["request_id"]


def test_validation_errors_name_field_message_and_code(server: Server) -> None:
    body = assert_envelope(http.post(server.base + "/api/auth/login/", json={}), 400, "validation_error")
    assert body["errors"]["username"][0]["code"] == "required"
    assert body["errors"]["password"][0]["message"]


def test_a_sane_request_id_is_kept_and_any_other_replaced(server: Server) -> None:
    kept = http.get(server.base + "/api/nothing/", headers={"X-Request-ID": "abc-12345678"})
    assert kept.headers["x-request-id"] == "abc-12345678" == kept.json()["request_id"]
    for strange in ("x" * 500, "a b c d e f g", "<script>alert(1)"):
        made = http.get(server.base + "/api/nothing/", headers={"X-Request-ID": strange})
        assert made.headers["x-request-id"] not in ("", strange)


def test_a_refused_handshake_has_a_request_id_and_the_envelope(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        connect(server.ws + "/ws/chat/", additional_headers={"X-Request-ID": "abc-1"})
    answer = refusal.value.response
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (403, "abc-1")
    assert json.loads(answer.body)["code"] == "permission_denied"


@pytest.mark.parametrize(("asked", "language"), [("fr-CA", "fr"), ("ar", "ar"), ("de", "en"), ("", "en"), ("fr", "fr")])
def test_detail_follows_accept_language_and_codes_never_change(server: Server, asked: str, language: str) -> None:
    def detail(header: str) -> str:
        answer = http.post(
            server.base + "/api/auth/login/",
            json={"username": "nobody-" + uuid.uuid4().hex, "password": "x"},
            headers={"Accept-Language": header},
        )
        return str(assert_envelope(answer, 401, "no_active_account", action="none")["detail"])

    assert detail(asked) == detail(language)
    assert len({detail("en"), detail("fr"), detail("ar")}) == 3


def test_both_prefixes_answer_login_and_the_answer_is_not_stored(server: Server, alice: Person) -> None:
    for prefix in ("/api/auth/", "/api/users/auth/"):
        answer = http.post(
            server.base + prefix + "login/", json={"username": alice.username, "password": PASSWORD, "unknown": 1}
        )
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"


def test_no_credentials_is_not_authenticated(server: Server) -> None:
    for path in ("users/me/", "users/sessions/", "chat/conversations/", "users/me/security-events/"):
        assert_envelope(http.get(f"{server.base}/api/{path}"), 401, "not_authenticated", action="login")


def test_malformed_and_wrong_type_tokens_say_why(server: Server, alice: Person) -> None:
    for bad in ("x", "a.b.c", alice.access[:-2] + "xx", "é" * 3, "a" * 20_000):
        answer = http.get(server.base + "/api/users/me/", headers={b"Authorization": b"Bearer " + bad.encode()})
        if answer.status_code != 431:  # some servers refuse a header of 20 kB by themselves
            assert_envelope(answer, 401, "token_not_valid", reason="invalid", action="refresh")
    answer = alice.get("users/me/", access=alice.login["refresh"])
    assert_envelope(answer, 401, "token_not_valid", reason="wrong_type", action="refresh")


def test_a_cookie_never_turns_a_login_into_a_csrf_error(server: Server, alice: Person) -> None:
    answer = http.post(
        server.base + "/api/auth/login/",
        json={"username": alice.username, "password": PASSWORD},
        headers={"Cookie": "alviar_admin=abc; sessionid=abc; csrftoken=abc"},
    )
    assert answer.status_code == 200


def test_browsers_of_allowed_origins_may_send_and_read_what_they_need(server: Server) -> None:
    preflight = http.options(
        server.base + "/api/auth/login/",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,accept-language,device-fingerprint,x-request-id",
        },
    )
    assert preflight.headers["access-control-allow-origin"] == "https://app.example.com"
    allowed = preflight.headers["access-control-allow-headers"].lower()
    for header in ("authorization", "content-type", "accept-language", "device-fingerprint", "x-request-id"):
        assert header in allowed
    answer = http.post(server.base + "/api/auth/login/", json={}, headers={"Origin": "https://app.example.com"})
    exposed = answer.headers["access-control-expose-headers"].lower()
    for header in ("x-refresh-replayed", "retry-after", "x-request-id"):
        assert header in exposed
    foreign = http.post(server.base + "/api/auth/login/", json={}, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/", "/api/redoc/", "/api/asyncapi/", "/api/asyncapi.json"])
def test_the_documentation_answers_and_asks_nothing_from_outside(server: Server, path: str) -> None:
    answer = http.get(server.base + path)
    assert answer.status_code == 200
    if "html" in answer.headers["content-type"]:
        assert 'src="http' not in answer.text
        assert 'href="http' not in answer.text.replace('href="http://127.0.0.1', "")
        assert "default-src" in answer.headers["content-security-policy"]


def test_health_and_readiness(server: Server) -> None:
    assert http.get(server.base + "/healthz").status_code == 200
    assert http.get(server.base + "/readyz").status_code == 200
