"""The description of the socket is made of the classes that read and write its frames."""

from typing import Any

import pytest
from django.test import Client

from chat.protocol import asyncapi, outgoing


def test_every_frame_of_the_contract_is_described():
    messages = asyncapi.document()["components"]["messages"]
    sent = {name.removeprefix("client_") for name in messages if name.startswith("client_")}
    told = {name.removeprefix("server_") for name in messages if name.startswith("server_")}
    assert sent == {
        "message", "mark_as_seen", "edit", "delete", "react", "resume", "sync", "typing", "presence", "authenticate",
        "ping",
    }  # fmt: skip
    assert told == {
        "hello", "ack", "events", "gap", "receipt", "typing", "presence", "removed", "resumed", "pong",
        "authenticated", "token_expiring", "error", "bye",
    }  # fmt: skip


def test_no_reference_leads_nowhere():
    document = asyncapi.document()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    for reference in references(document):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_required_and_optional_fields_are_those_that_are_checked():
    schemas = asyncapi.document()["components"]["schemas"]
    assert set(schemas["ResumeFrame"]["required"]) == {"type", "epoch", "cursors"}
    assert schemas["MessageFrame"]["required"] == ["type"]
    assert "ref" not in schemas["AckFrame"]["required"]
    assert schemas["ErrorFrame"]["properties"]["code"]["enum"] == list(outgoing.ERROR_CODES)


@pytest.mark.django_db
def test_the_page_runs_nothing():
    answer = Client().get("/api/asyncapi/")
    assert answer.status_code == 200
    assert b"<script" not in answer.content
    assert b"mark_as_seen" in answer.content
    assert "'unsafe" not in answer["Content-Security-Policy"]
    assert Client().get("/api/asyncapi.json").json()["asyncapi"] == "3.0.0"
