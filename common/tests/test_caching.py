"""What stands on the answers of the API for caches, and what is read of a body before its JSON."""

import codecs

import pytest

LOGIN = "/api/auth/login/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/users/me/", 200),
        ("get", "/api/users/sessions/", 200),
        ("get", "/api/users/me/security-events/", 200),
        ("get", "/api/chat/conversations/", 200),
        ("put", "/api/users/me/", 405),
        ("post", LOGIN, 400),
        ("get", "/api/nowhere/", 404),
        ("get", "/api/users/me", 404),
        ("options", LOGIN, 200),
    ],
)
def test_no_answer_is_kept(alice_api, method, path, status):
    answer = getattr(alice_api, method)(path)

    assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")


def test_a_refusal_without_credentials_is_not_kept_either(api):
    assert api.get("/api/users/me/")["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/docs/", "/api/asyncapi.json"])
def test_the_documentation_may_be_kept(client, path):
    assert "no-store" not in client.get(path).headers.get("Cache-Control", "")


def post(client, body, **headers):
    return client.post(LOGIN, body, content_type="application/json", headers=headers)


def test_a_byte_order_mark_before_the_json_is_skipped(client):
    answer = post(client, codecs.BOM_UTF8 + b"{}")

    assert answer.json()["code"] == "validation_error"
    assert set(answer.json()["errors"]) == {"username", "password"}


@pytest.mark.parametrize("body", [codecs.BOM_UTF8 * 2 + b"{}", codecs.BOM_UTF16_LE + "{}".encode("utf-16-le")])
def test_any_other_mark_is_no_json(client, body):
    assert post(client, body).json()["code"] == "parse_error"


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_415(client, encoding):
    answer = post(client, b"{}", content_encoding=encoding)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert answer["Cache-Control"] == "no-store"


def test_identity_is_no_encoding(client):
    assert post(client, b"{}", content_encoding="identity").status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("prefix", ["/api/auth", "/api/users/auth"])
def test_logout_ends_the_session_whatever_the_body_is_packed_in(alice_api, prefix):
    answer = alice_api.post(f"{prefix}/logout/", b"\x1f\x8b", content_type="text/plain", HTTP_CONTENT_ENCODING="gzip")

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert alice_api.get("/api/users/me/").json()["reason"] == "session_revoked"
