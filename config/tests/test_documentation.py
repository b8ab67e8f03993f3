"""The OpenAPI document and its viewers."""

import re

import pytest
import yaml
from django.test import Client

from config.operations import OPERATIONS, TAGS


@pytest.fixture
def schema(db, client):
    return yaml.safe_load(client.get("/api/schema/").content)


def test_the_document_has_the_canonical_prefix_only(schema):
    assert "/api/auth/login/" in schema["paths"]
    assert not [path for path in schema["paths"] if path.startswith("/api/users/auth/")]


def test_every_operation_has_the_error_body(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for status in ("400", "401", "403", "404", "405", "406", "413", "415", "429", "500", "503"):
                assert operation["responses"][status]["$ref"].startswith("#/components/responses/"), (path, method)
    assert schema["components"]["schemas"]["Error"]["required"] == ["detail", "code", "action", "request_id"]


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
