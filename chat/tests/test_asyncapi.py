"""The description of the socket is made of the classes that read and write its frames."""

import typing
from typing import Any

import msgspec
import pytest
from django.test import Client

from chat.log import published
from chat.protocol import asyncapi, events, outgoing
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
        assert set(body["data"]) == {one.name for one in msgspec.structs.fields(data)}
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
