"""Refusals that every call has in common: nobody signed in, a missing slash, another method, a body of another kind."""

import uuid

import httpx
import pytest

from .conftest import Person, Server, assert_envelope, http, make_person

pytestmark = pytest.mark.live

NOBODY = "11111111-1111-4111-8111-111111111111"
OPEN = """
    POST auth/register/ | POST auth/login/ | POST auth/password-reset/ | POST auth/password-reset/confirm/
    POST auth/verify-email/ | POST auth/resend-verification/ | POST auth/mfa/ | POST auth/mfa/options/
    POST auth/email-code/ | POST auth/email-code/confirm/ | POST auth/social/acme/
    POST auth/token/refresh/ | POST auth/token/verify/
"""
OWN = """
    POST auth/password-change/ | POST auth/email-change/ | DELETE users/me/ | POST users/me/close/
    POST auth/factors/totp/confirm/ | PATCH auth/factors/passkeys/{nobody}/
    POST auth/reauthenticate/ | POST auth/factors/social/acme/ | POST users/me/phone/ | POST users/me/phone/confirm/
    PATCH users/sessions/{sid}/ | PUT users/sessions/{sid}/push/ | POST chat/conversations/
    POST chat/conversations/{group}/messages/ | PATCH chat/messages/{message}/ | POST chat/conversations/{group}/seen/
    POST chat/conversations/{group}/members/ | PATCH chat/conversations/{group}/members/{me}/ | POST chat/blocks/
    POST chat/reports/
"""
PASSKEYS = """
    POST auth/passkey/options/ | POST auth/passkey/ | POST auth/factors/passkeys/options/ | POST auth/factors/passkeys/
"""
# These ask nothing of their body, or take an empty one.
BARE = """
    GET users/me/ | PATCH users/me/ | GET users/me/export/ | GET users/me/security-events/ | GET users/search/
    GET auth/factors/ | POST auth/factors/totp/ | DELETE auth/factors/totp/ | POST auth/factors/recovery-codes/
    POST auth/factors/passkeys/options/ | DELETE auth/factors/passkeys/{nobody}/ | DELETE auth/factors/social/acme/
    POST auth/logout-all/ | GET users/sessions/ | POST users/sessions/{nobody}/revoke/ | DELETE users/sessions/{nobody}/
    DELETE users/sessions/{sid}/push/ | GET users/push/key/ | GET chat/conversations/ | GET chat/conversations/{group}/
    PATCH chat/conversations/{group}/ | PATCH chat/conversations/{group}/settings/
    GET chat/conversations/{group}/messages/ | DELETE chat/messages/{message}/ | GET chat/conversations/{group}/members/
    PUT chat/messages/{message}/reactions/x/ | DELETE chat/messages/{message}/reactions/x/
    DELETE chat/conversations/{group}/members/{me}/ | POST chat/conversations/{group}/leave/ | GET chat/search/
    POST chat/attachments/ | GET chat/attachments/{nobody}/ | GET chat/attachments/{nobody}/meta/
    GET chat/attachments/{nobody}/thumbnail/ | POST chat/uploads/ | GET chat/blocks/ | DELETE chat/blocks/{me}/
    GET chat/settings/ | PATCH chat/settings/
"""


def calls(text: str) -> list[tuple[str, str]]:
    return [tuple(call.split()) for line in text.strip().splitlines() for call in line.split("|")]  # type: ignore[misc]


@pytest.fixture(scope="module")
def places(server: Server) -> dict[str, str]:
    """Return what stands in the paths above, and the access token of the person to whom it all belongs."""
    alice = make_person(server, "alice")
    group = alice.group()
    return {
        "me": str(alice.id), "sid": alice.login["session"]["id"], "nobody": NOBODY, "access": alice.access,
        "group": group, "message": alice.say(group, "hello")["uuid"],
    }  # fmt: skip


def send(server: Server, method: str, path: str, *, access: str = "", **kw: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {access}"} if access else {}
    headers |= kw.pop("headers", {})  # type: ignore[call-overload]
    return http.request(method, f"{server.base}/api/{path}", headers=headers, **kw)  # type: ignore[arg-type]


def test_without_credentials_every_call_but_the_open_ones_is_401(server: Server, places: dict[str, str]) -> None:
    for method, path in calls(OWN) + calls(BARE):
        body = {} if method == "GET" else {"json": {}}
        answer = send(server, method, path.format(**places), **body)
        assert_envelope(answer, 401, "not_authenticated", action="login")


def test_at_an_ip_address_every_passkey_call_is_409(server: Server, places: dict[str, str]) -> None:
    for method, path in calls(PASSKEYS):
        answer = send(server, method, path, access=places["access"], json={})
        assert_envelope(answer, 409, "passkeys_unavailable", action="none")


def test_without_the_slash_nothing_is_there(server: Server, places: dict[str, str]) -> None:
    for method, path in calls(OPEN) + calls(OWN) + calls(BARE):
        answer = send(server, method, path.format(**places).rstrip("/"), access=places["access"])
        assert_envelope(answer, 404, "not_found", action="none")


def test_another_method_is_405_and_told_which(server: Server, places: dict[str, str]) -> None:
    for method, path in calls(OPEN) + calls(OWN) + calls(BARE):
        answer = send(server, "PROPFIND", path.format(**places), access=places["access"])
        assert_envelope(answer, 405, "method_not_allowed", action="none")
        assert method in answer.headers["allow"].split(", "), path


@pytest.mark.parametrize(
    "body", [b"[]", b'"text"', b"1", b"{broken", b""], ids=["list", "text", "number", "bad", "none"]
)
def test_a_body_that_is_no_object_is_400(server: Server, places: dict[str, str], body: bytes) -> None:
    for method, path in calls(OPEN) + calls(OWN):
        answer = send(
            server, method, path.format(**places), access="" if (method, path) in calls(OPEN) else places["access"],
            content=body, headers={"Content-Type": "application/json"},
        )  # fmt: skip
        said = assert_envelope(answer, 400, "parse_error" if body == b"{broken" else "validation_error", action="none")
        assert body == b"{broken" or said["errors"], path
        assert body not in (b"[]", b'"text"', b"1") or set(said["errors"]) == {"non_field_errors"}, path


def test_a_form_and_a_compressed_body_are_415(server: Server, places: dict[str, str]) -> None:
    for headers in (
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        for method, path in calls(OPEN) + calls(OWN):
            access = "" if (method, path) in calls(OPEN) else places["access"]
            answer = send(server, method, path.format(**places), access=access, content=b"a=1", headers=headers)
            assert_envelope(answer, 415, "unsupported_media_type", action="none")


def test_what_is_somebody_elses_is_404_like_what_is_not_there(
    server: Server, places: dict[str, str], bob: Person
) -> None:
    theirs = [
        ("PATCH", "users/sessions/{sid}/", {"device_name": "x"}), ("POST", "users/sessions/{sid}/revoke/", {}),
        ("DELETE", "users/sessions/{sid}/", {}), ("DELETE", "users/sessions/{sid}/push/", {}),
        ("PATCH", "chat/messages/{message}/", {"content": "x"}), ("DELETE", "chat/messages/{message}/", {}),
        ("PUT", "chat/messages/{message}/reactions/👍/", {}),
        ("POST", "chat/reports/", {"message_uuid": places["message"], "reason": "spam"}),
        ("GET", "chat/search/?q=hello&conversation_uuid={group}", None),
        ("PATCH", "chat/conversations/{group}/settings/", {"pinned": True}),
        ("DELETE", "chat/conversations/{group}/members/{me}/", {}),
    ]  # fmt: skip
    for method, path, body in theirs:
        for known in (places, places | {"sid": NOBODY, "group": NOBODY, "message": str(uuid.uuid4())}):
            if "reason" in (body or {}):
                body = {**(body or {}), "message_uuid": known["message"]}
            kw = {} if body is None else {"json": body}
            answer = send(server, method, path.format(**known), access=bob.access, **kw)
            assert_envelope(answer, 404, "not_found", action="none")
