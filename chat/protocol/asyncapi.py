"""The socket described as AsyncAPI 3.0, generated from the very classes that check and write its frames."""

import dataclasses
import functools
import operator
import types
import typing
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chat.protocol import incoming, outgoing
from chat.protocol.close_codes import Close
from chat.protocol.incoming import Incoming
from chat.protocol.outgoing import Outgoing
from common import json

ANSWERS: dict[str, tuple[str, ...]] = {
    "message": ("ack", "error"),
    "mark_as_seen": ("receipt", "error"),
    "edit": ("ack", "error"),
    "delete": ("ack", "error"),
    "react": ("ack", "error"),
    "resume": ("events", "gap", "removed", "resumed", "error"),
    "sync": ("events", "gap", "error"),
    "presence": ("presence", "error"),
    "authenticate": ("authenticated", "error"),
    "ping": ("pong", "error"),
    "typing": ("error",),
}

CLIENT_RULES = """\
Open the socket with the subprotocols `["access_token", "<access token>"]`. Apply an event when `seq == last + 1`,
ignore it when `seq <= last`, send `sync` when it is further ahead. After a reconnect send `resume` with the last `seq`
of each conversation. Close codes 4000 to 4499: reconnect; 4500 to 4999: do not.

"""


@functools.cache
def document() -> dict[str, Any]:
    """Return the whole document."""
    channel_messages = {
        **{_incoming_name(frame): {"$ref": f"#/components/messages/{_incoming_name(frame)}"} for frame in _incoming()},
        **{_outgoing_name(frame): {"$ref": f"#/components/messages/{_outgoing_name(frame)}"} for frame in _outgoing()},
    }
    codes = "\n".join(f"- `{close.value}` {close.code}" for close in Close)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Alviar chat socket",
            "version": str(outgoing.VERSION),
            "description": CLIENT_RULES + "Close codes:\n\n" + codes,
        },
        "defaultContentType": "application/json",
        "channels": {
            "chat": {"address": "/ws/chat/", "messages": channel_messages},
            "conversation": {
                "address": "/ws/chat/{conversation_uuid}/",
                "description": "The same socket with a default conversation.",
                "parameters": {"conversation_uuid": {"description": "The conversation of frames that name none."}},
                "messages": channel_messages,
            },
        },
        "operations": {
            **{f"on_{frame.TYPE}": _received(frame) for frame in _incoming()},
            **{
                f"send_{frame.TYPE}": {
                    "action": "send",
                    "channel": {"$ref": "#/channels/chat"},
                    "summary": _summary(frame),
                    "messages": [{"$ref": f"#/channels/chat/messages/{_outgoing_name(frame)}"}],
                }
                for frame in _outgoing()
            },
        },
        "components": {
            "messages": {
                **{_incoming_name(frame): _message(frame) for frame in _incoming()},
                **{_outgoing_name(frame): _message(frame) for frame in _outgoing()},
            },
            "schemas": {frame.__name__: schema_of(frame) for frame in (*_incoming(), *_outgoing())},
        },
    }


def _incoming() -> list[type[Incoming]]:
    return list(incoming.INCOMING.values())


def _outgoing() -> tuple[type[Outgoing], ...]:
    return outgoing.OUTGOING


def _incoming_name(frame: type[Incoming]) -> str:
    return f"client_{frame.TYPE}"


def _outgoing_name(frame: type[Outgoing]) -> str:
    return f"server_{frame.TYPE}"


def _summary(frame: type[Any]) -> str:
    text = (frame.__doc__ or "").strip()
    return "" if text.startswith(f"{frame.__name__}(") else text.splitlines()[0]


def _received(frame: type[Incoming]) -> dict[str, Any]:
    answers = [{"$ref": f"#/channels/chat/messages/server_{name}"} for name in ANSWERS[frame.TYPE]]
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/chat"},
        "summary": _summary(frame),
        "messages": [{"$ref": f"#/channels/chat/messages/{_incoming_name(frame)}"}],
        "reply": {"channel": {"$ref": "#/channels/chat"}, "messages": answers},
    }


def _message(frame: type[Any]) -> dict[str, Any]:
    return {
        "name": frame.TYPE,
        "summary": _summary(frame),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{frame.__name__}"},
    }


def schema_of(frame: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of one frame class."""
    hints = typing.get_type_hints(frame)
    properties: dict[str, Any] = {}
    required: list[str] = []
    if type_name := getattr(frame, "TYPE", ""):
        properties["type"] = {"const": type_name}
        required.append("type")
    for one in dataclasses.fields(frame):
        nested = not type_name  # a nested shape is written whole, its nulls included; in a frame None means absent
        hint = hints[one.name] if nested else _present(hints[one.name])
        properties[one.name] = _property(frame, one, hint)
        absent_allowed = one.default is not dataclasses.MISSING and one.default is None
        by_default = issubclass(frame, Incoming) and one.default is not dataclasses.MISSING
        if nested or not (absent_allowed or by_default):
            required.append(one.name)
    return {"type": "object", "properties": properties, "required": required}


def _present(hint: Any) -> Any:
    if not isinstance(hint, types.UnionType):
        return hint
    return functools.reduce(operator.or_, [one for one in typing.get_args(hint) if one is not types.NoneType])


def _property(frame: type[Any], one: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:
    shape = _schema(hint)
    most = one.metadata.get("most")
    if most is not None:
        shape["maxItems" if shape.get("type") == "array" else "maxLength"] = most
    if description := one.metadata.get("description"):
        shape["description"] = description
    if one.name == "code" and frame is outgoing.ErrorFrame:
        shape["enum"] = list(outgoing.ERROR_CODES)
    if one.name == "kind" and frame is outgoing.EventShape:
        shape["enum"] = list(outgoing.EVENT_KINDS)
    if one.name == "close" and frame is outgoing.ByeFrame:
        shape["enum"] = [close.value for close in Close]
    return shape


def _schema(hint: Any) -> dict[str, Any]:
    if isinstance(hint, types.UnionType):
        kept = [_schema(one) for one in typing.get_args(hint) if one is not types.NoneType]
        nullable = types.NoneType in typing.get_args(hint)
        if len(kept) == 1 and "type" in kept[0]:
            return {**kept[0], "type": [kept[0]["type"], "null"]} if nullable else kept[0]
        return {"oneOf": [*kept, *([{"type": "null"}] if nullable else [])]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        value = {} if arguments[1] is Any else _schema(arguments[1])
        return {"type": "object", "additionalProperties": value}
    if dataclasses.is_dataclass(hint):
        return schema_of(typing.cast(type[Any], hint))
    if hint is int:
        return {"type": "integer", "minimum": 0}
    return {
        UUID: {"type": "string", "format": "uuid"},
        datetime: {"type": "string", "format": "date-time"},
        str: {"type": "string"},
        bool: {"type": "boolean"},
    }[hint].copy()


@require_safe
def as_json(request: HttpRequest) -> HttpResponse:
    """Serve the document."""
    return HttpResponse(json.dumps(document()), content_type="application/json")


@require_safe
def as_page(request: HttpRequest) -> HttpResponse:
    """Show the document: written here on the server, no script, nothing from outside."""
    frames = {
        "client": [_shown(frame) for frame in _incoming()],
        "server": [_shown(frame) for frame in _outgoing()],
    }
    context = {
        "frames": frames,
        "closes": [(close.value, close.code) for close in Close],
        "kinds": outgoing.EVENT_KINDS,
        "errors": outgoing.ERROR_CODES,
    }
    return render(request, "chat/asyncapi.html", context)


def _shown(frame: type[Any]) -> dict[str, Any]:
    schema = schema_of(frame)
    fields = [
        {
            "name": name,
            "type": _type_text(shape),
            "required": name in schema["required"],
            "description": shape.get("description", ""),
        }
        for name, shape in schema["properties"].items()
        if name != "type"
    ]
    return {
        "type": frame.TYPE,
        "anchor": f"{'client' if issubclass(frame, Incoming) else 'server'}-{frame.TYPE}",
        "summary": _summary(frame),
        "answers": ANSWERS.get(frame.TYPE, ()) if issubclass(frame, Incoming) else (),
        "fields": fields,
    }


def _type_text(shape: dict[str, Any]) -> str:
    if "oneOf" in shape:
        return " or ".join(_type_text(one) for one in shape["oneOf"])
    name = shape["type"]
    if isinstance(name, list):
        return " or ".join(str(part) for part in name)
    if name == "array":
        return f"list of {_type_text(shape['items'])}"
    return shape.get("format") or str(name)
