"""The description of the socket is made of the classes that read and write its frames."""

import json
import re
import typing
from typing import Any

import msgspec
import pytest
from django.test import Client
from jsonschema import Draft202012Validator

from chat.log import published
from chat.protocol import asyncapi, events, examples, incoming, outgoing
from chat.protocol.close_codes import Close
from chat.services import conversations, members, messages


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


def test_every_frame_and_event_has_an_example_that_fits():
    document = asyncapi.document()
    shown = {name: message["examples"][0]["payload"] for name, message in document["components"]["messages"].items()}
    for name, example in shown.items():
        schema = document["components"]["messages"][name]["payload"]
        assert _faults(example, schema, document) == [], name
        if name.startswith("client_"):
            assert asyncapi.type_of(type(incoming.parse(json.dumps(example)))) == example["type"]
    for event in events.EVENTS:
        example = examples.EVENTS[asyncapi.type_of(event)]
        assert _faults(example, {"$ref": f"#/components/schemas/{event.__name__}"}, document) == []
    assert {name.removeprefix("server_") for name in shown if name.startswith("server_")} == set(examples.SERVER)
    assert Close(examples.SERVER["bye"]["close"]).code == examples.SERVER["bye"]["code"]


def _faults(example, schema, document):
    whole = {**schema, "components": document["components"]}
    validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in validator.iter_errors(example)]


@pytest.mark.django_db
def test_the_page_has_contents_examples_and_links_to_the_guides():
    page = Client().get("/api/asyncapi/").content.decode()
    anchors = re.findall(r'href="#([^"]+)"', page)
    assert len(set(anchors)) > 40
    for anchor in anchors:
        assert page.count(f'id="{anchor}"') == 1, anchor
    for link in ("/docs/", "/docs/socket/", "/api/docs/", "/api/redoc/", "/api/asyncapi.json"):
        assert f'href="{link}"' in page
    assert "`" not in page
    assert "<code>ack</code>" in page
    assert "&quot;The tide is out&quot;" in page


def test_markdown_of_a_text_is_escaped_first():
    assert asyncapi.rendered("see `<b>` & <i>") == "see <code>&lt;b&gt;</code> &amp; &lt;i&gt;"


@pytest.mark.django_db
def test_the_page_runs_nothing():
    answer = Client().get("/api/asyncapi/")
    assert answer.status_code == 200
    assert b"<script" not in answer.content
    assert b"mark_as_seen" in answer.content
    assert "'unsafe" not in answer["Content-Security-Policy"]
    assert Client().get("/api/asyncapi.json").json()["asyncapi"] == "3.0.0"


@pytest.mark.django_db(transaction=True)
def test_what_the_log_encodes_fits_the_shape_of_its_kind(django_user_model, monkeypatch):
    """Message, reply, edit, deletion, reaction, members and title: each as it is sent, against the document."""
    alice, bob = (django_user_model.objects.create_user(name, f"{name}@example.com", "x") for name in ("ann", "ben"))
    found: list[Any] = []
    monkeypatch.setattr(published, "_listeners", [found.extend])
    _live_a_little(alice, bob)
    shapes = {str(event.__struct_config__.tag): event for event in events.EVENTS}
    seen = set()
    for event in [event for batch in found for event in batch.events]:
        body = msgspec.json.decode(event.raw)
        fields = {one.name: one.type for one in msgspec.structs.fields(shapes[body["kind"]])}
        assert set(body) == {"kind", *fields}
        data = typing.get_args(fields["data"])[0] if typing.get_args(fields["data"]) else fields["data"]
        named = msgspec.structs.fields(data)
        assert {one.name for one in named if one.required} <= set(body["data"]) <= {one.name for one in named}
        msgspec.convert(body["data"], data)
        seen.add(body["kind"])
    assert seen == set(events.KINDS) - {"attachment.ready"}


def _live_a_little(alice: Any, bob: Any) -> None:
    room = conversations.create_group(user_id=alice.pk, title="Room", user_ids=[bob.pk])
    name, who = {"conversation_uuid": room.uuid}, {"user_id": alice.pk, "session_id": None}
    first = messages.send(**who, **name, content="one").message_uuid
    messages.send(**who, **name, content="two", reply_to=first)
    messages.edit(**who, message_uuid=first, content="changed")
    messages.react(**who, message_uuid=first, emoji="👍")
    messages.react(**who, message_uuid=first, emoji="👍", remove=True)
    messages.delete(**who, message_uuid=first)
    members.change_role(user_id=alice.pk, **name, member_id=bob.pk, role="admin")
    conversations.update(user_id=alice.pk, **name, title="Hall")
    members.remove(user_id=alice.pk, **name, member_id=bob.pk)
