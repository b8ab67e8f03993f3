"""The OpenAPI document and its viewers."""

import re

import pytest
import yaml
from django.test import Client
from jsonschema import Draft202012Validator

from common.errors import ApplicationError, ValidationFailed
from config import refusals
from config.operations import OPERATIONS, TAGS
from config.refusals import ParseError
from tests import documented


@pytest.fixture
def schema(db, client):
    return yaml.safe_load(client.get("/api/schema/").content)


def test_the_document_has_the_canonical_prefix_only(schema):
    assert "/api/auth/login/" in schema["paths"]
    assert not [path for path in schema["paths"] if path.startswith("/api/users/auth/")]


def test_every_error_has_the_one_body(schema):
    assert schema["components"]["schemas"]["Error"]["required"] == ["detail", "code", "action", "request_id"]
    for answer in schema["components"]["responses"].values():
        shape, code = answer["content"]["application/json"]["schema"]["allOf"]
        assert shape == {"$ref": "#/components/schemas/Error"}
        assert code["properties"]["code"]["enum"]


def test_every_operation_lists_the_errors_that_it_can_answer(schema):
    def codes(method, path):
        responses = schema["paths"][path][method]["responses"]
        return {
            (status, code)
            for status, answer in responses.items()
            if "$ref" in answer
            for code in schema["components"]["responses"][answer["$ref"].rpartition("/")[2]]["content"][
                "application/json"
            ]["examples"]
        }

    everywhere = {
        ("400", "bad_request"),
        ("405", "method_not_allowed"),
        ("406", "not_acceptable"),
        ("413", "too_large"),
        ("415", "unsupported_media_type"),
        ("500", "internal"),
        ("503", "temporarily_unavailable"),
    }
    signed_in = {("401", "not_authenticated"), ("401", "token_not_valid")}
    assert codes("get", "/api/users/me/") == everywhere | signed_in
    assert codes("post", "/api/auth/login/") == everywhere | {
        ("400", "parse_error"),
        ("400", "validation_error"),
        ("401", "mfa_required"),
        ("401", "no_active_account"),
        ("403", "email_not_verified"),
        ("429", "account_locked"),
        ("429", "throttled"),
    }
    assert codes("post", "/api/chat/conversations/{conversation_uuid}/leave/") == everywhere | signed_in | {
        ("403", "permission_denied"),
        ("404", "not_found"),
        ("429", "throttled"),
    }
    for path, operations in schema["paths"].items():
        for method in operations:
            assert everywhere <= codes(method, path), (method, path)


def test_every_code_is_an_answer_of_some_operation_or_stands_apart():
    outside = {
        "upgrade_required",  # the handshake of the socket
        "request_timeout",  # before an operation is reached
        "headers_too_large",
        "error",  # the base class
    }
    listed = {error.code for errors in refusals.REFUSALS.values() for error in errors}
    listed |= {error.code for error in (*refusals.EVERYWHERE, *refusals.SIGNED_IN, ParseError, ValidationFailed)}
    known = {kind.code for kind in _all_of(ApplicationError) if "tests" not in kind.__module__}
    assert known | {"error"} == listed | outside
    assert set(refusals.REFUSALS) <= set(OPERATIONS)


def _all_of(kind):
    for below in kind.__subclasses__():
        yield below
        yield from _all_of(below)


def test_what_the_document_does_not_list_is_noticed():
    body = b'{"code": "blocked"}'
    documented.check("POST", "/api/auth/login/", 429, "application/json", b'{"code": "throttled"}')
    documented.check("POST", "/api/users/auth/login/", 429, "application/json", b'{"code": "throttled"}')
    for path in ("/api/auth/login/", "/api/users/auth/login/"):
        with pytest.raises(AssertionError, match="blocked"):
            documented.check("POST", path, 403, "application/json", body)
    conversation = "/api/chat/conversations/0b9f2c7e-6c1d-4f0e-9a57-3d2f1c4b8a60/"
    with pytest.raises(AssertionError, match="idempotency_conflict"):
        documented.check("GET", conversation, 409, "application/json", b'{"code": "idempotency_conflict"}')


def _bodies(schema):
    """Yield `(where, media type)` of every JSON body, in operations and in shared responses."""
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for name, body in bodies.items():
                if found := body.get("content", {}).get("application/json"):
                    yield f"{method} {path} {name}", found
    for name, answer in schema["components"]["responses"].items():
        yield name, answer["content"]["application/json"]


def test_every_body_has_an_example_that_fits_its_schema(schema):
    count = 0
    for where, body in _bodies(schema):
        shown = [body["example"]] if "example" in body else [one["value"] for one in body["examples"].values()]
        validator = Draft202012Validator(
            {**body["schema"], "components": schema["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
        )
        for example in shown:
            count += 1
            assert [error.message for error in validator.iter_errors(example)] == [], where
            assert example is not None
    assert count > 150


def test_no_text_of_the_document_is_missing(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            assert all(parameter["description"] for parameter in operation.get("parameters", ())), (method, path)
            for status, answer in operation["responses"].items():
                assert answer.get("$ref") or answer["description"], (method, path, status)


def test_every_operation_has_a_summary_and_a_tag_in_the_order_of_a_life(schema):
    shown = {(method, path) for path, found in schema["paths"].items() for method in found}
    assert shown == set(OPERATIONS)
    assert [tag["name"] for tag in schema["tags"]] == list(TAGS)
    assert {tag for tag, _ in OPERATIONS.values()} == set(TAGS)
    assert next(iter(schema["paths"])) == "/api/auth/register/"


def test_operation_ids_are_unique(schema):
    ids = [operation["operationId"] for operations in schema["paths"].values() for operation in operations.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", ["/api/docs/", "/api/redoc/"])
def test_viewers_load_nothing_from_outside_and_run_nothing_inline(client, path):
    response = client.get(path)
    page = response.content.decode()
    assert response.status_code == 200
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//", page)
    assert "<style" not in page
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", page))
    policy = response["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize("path", ["/api/docs/", "/api/redoc/", "/api/asyncapi/"])
def test_viewers_lead_to_the_guides_and_to_each_other(client, path):
    page = client.get(path).content.decode()
    for other in ("/docs/", "/api/docs/", "/api/redoc/", "/api/asyncapi/"):
        assert f'<a href="{other}"' in page
    assert f'<a href="{path}" aria-current="page">' in page


def test_viewers_answer_other_methods_with_405(client):
    response = client.post("/api/docs/")
    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"
    assert response["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/admin/login/", "/api/nix/", "/healthz"])
def test_everything_else_has_the_strict_policy(client, db, path):
    policy = client.get(path)["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/", "/api/redoc/", "/api/asyncapi/", "/api/asyncapi.json"])
def test_a_refusal_is_the_envelope_on_the_documents_too(db, path):
    browser = Client(enforce_csrf_checks=True)
    response = browser.post(path)
    assert (response.status_code, response["Content-Type"]) == (405, "application/json")
    assert response.json()["code"] == "method_not_allowed"
    assert "GET" in response["Allow"]


def test_a_type_that_the_document_has_not_is_406_in_the_envelope(db, client):
    response = client.get("/api/schema/", headers={"Accept": "text/csv"})
    assert (response.status_code, response["Content-Type"]) == (406, "application/json")
    assert response.json()["code"] == "not_acceptable"
