"""AsyncAPI 3.0 document of the WebSocket, generated from the classes that parse and write its frames."""

import functools
import json as json_of_python
import operator
import re
import types
import typing
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe

from chat.protocol import events, examples, incoming, outgoing
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

_CODE = re.compile(r"`([^`]+)`")

CLIENT_RULES = """\
Open the socket with the subprotocols `["access_token", "<access token>"]`. Apply an event when `seq == last + 1`,
ignore it when `seq <= last`, send `sync` when it is further ahead. After a reconnect send `resume` with the last `seq`
of each conversation. Close codes 4000 to 4499: reconnect; 4500 to 4999: do not.

"""


@functools.cache
def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
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
            **{f"on_{type_of(frame)}": _received(frame) for frame in _incoming()},
            **{
                f"send_{type_of(frame)}": {
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
            "schemas": {
                shape.__name__: schema_of(shape) for shape in (*_incoming(), *_outgoing(), *events.EVENTS, *_nested())
            },
        },
    }


def _incoming() -> list[type[Incoming]]:
    return list(incoming.INCOMING.values())


def _outgoing() -> tuple[type[Outgoing], ...]:
    return outgoing.OUTGOING


def _nested() -> list[type[events.Shape]]:
    bases = (*events.EVENTS, events.EventShape)
    return [shape for shape in events.Shape.__subclasses__() if shape not in bases]


def _incoming_name(frame: type[Incoming]) -> str:
    return f"client_{type_of(frame)}"


def _outgoing_name(frame: type[Outgoing]) -> str:
    return f"server_{type_of(frame)}"


def _summary(frame: type[Any]) -> str:
    text = (frame.__doc__ or "").strip()
    return text.partition("\n")[0]


def _received(frame: type[Incoming]) -> dict[str, Any]:
    answers = [{"$ref": f"#/channels/chat/messages/server_{name}"} for name in ANSWERS[type_of(frame)]]
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/chat"},
        "summary": _summary(frame),
        "messages": [{"$ref": f"#/channels/chat/messages/{_incoming_name(frame)}"}],
        "reply": {"channel": {"$ref": "#/channels/chat"}, "messages": answers},
    }


def _message(frame: type[Any]) -> dict[str, Any]:
    return {
        "name": type_of(frame),
        "summary": _summary(frame),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{frame.__name__}"},
        "examples": [{"payload": examples.frame(type_of(frame), by_client=issubclass(frame, Incoming))}],
    }


def type_of(frame: type[Any]) -> str:
    """Return the frame's `type`."""
    return str(frame.__struct_config__.tag)


def schema_of(frame: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of one frame, event or nested shape."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    config = frame.__struct_config__
    if config.tag:
        properties[config.tag_field] = {"const": config.tag}
        required.append(config.tag_field)
    is_frame = issubclass(frame, Incoming | Outgoing)
    for one in msgspec.structs.fields(frame):
        # A nested object is written with all keys but unset ones, including nulls; in a frame None means absent.
        properties[one.name] = _property(frame, one, one.type if not is_frame else _present(one.type))
        if one.required:
            required.append(one.name)
    return {"type": "object", "properties": properties, "required": required}


def _present(hint: Any) -> Any:
    if typing.get_origin(hint) is Annotated:
        inner, *metas = typing.get_args(hint)
        return Annotated[(_present(inner), *metas)]
    if not isinstance(hint, types.UnionType):
        return hint
    return functools.reduce(operator.or_, [one for one in typing.get_args(hint) if one is not types.NoneType])


def _property(frame: type[Any], one: msgspec.structs.FieldInfo, hint: Any) -> dict[str, Any]:
    shape = _schema(hint)
    if one.name == "code" and frame is outgoing.ErrorFrame:
        shape["enum"] = list(outgoing.ERROR_CODES)
    if one.name == "events" and frame is outgoing.EventsFrame:
        shape["items"] = {
            "oneOf": [{"$ref": f"#/components/schemas/{event.__name__}"} for event in events.EVENTS],
            "discriminator": "kind",
        }
    if one.name == "close" and frame is outgoing.ByeFrame:
        shape["enum"] = [close.value for close in Close]
    return shape


def _schema(hint: Any) -> dict[str, Any]:
    if typing.get_origin(hint) is Annotated:
        inner, *metas = typing.get_args(hint)
        shape = _schema(inner)
        for meta in metas:
            shape |= _limits(meta, shape)
        return shape
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kept = [_schema(one) for one in typing.get_args(hint) if one not in (types.NoneType, msgspec.UnsetType)]
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
    if hint is Any:
        return {}
    if issubclass(hint, events.Shape):
        return {"$ref": f"#/components/schemas/{hint.__name__}"}
    if issubclass(hint, msgspec.Struct):
        return schema_of(hint)
    if hint is int:
        return {"type": "integer", "minimum": 0}
    return {UUID: {"type": "string", "format": "uuid"}, str: {"type": "string"}, bool: {"type": "boolean"}}[hint].copy()


def _limits(meta: msgspec.Meta, shape: dict[str, Any]) -> dict[str, Any]:
    """Return the schema limits from a field's `Meta`."""
    said: dict[str, Any] = dict(meta.extra_json_schema or {})
    if meta.description:
        said["description"] = meta.description
    if meta.max_length is not None:
        said["maxItems" if shape.get("type") == "array" else "maxLength"] = meta.max_length
    if meta.ge is not None:
        said["minimum"] = meta.ge
    if meta.le is not None:
        said["maximum"] = meta.le
    return said


@require_safe
def as_json(request: HttpRequest) -> HttpResponse:
    """Serve the document."""
    return HttpResponse(json.dumps(document()), content_type="application/json")


@require_safe
def as_page(request: HttpRequest) -> HttpResponse:
    """Show the document as HTML, made on the server without scripts or external resources."""
    parts = [
        ("What the client sends", "client", [_shown(frame, by_client=True) for frame in _incoming()]),
        ("What the server sends", "server", [_shown(frame, by_client=False) for frame in _outgoing()]),
        ("Events", "events", [_shown_event(event) for event in events.EVENTS]),
        ("Objects in them", "objects", [_shown_object(shape) for shape in _nested()]),
    ]
    context = {
        "parts": [{"title": title, "anchor": anchor, "shapes": shapes} for title, anchor, shapes in parts],
        "closes": [(close.value, close.code) for close in Close],
        "errors": outgoing.ERROR_CODES,
    }
    return render(request, "chat/asyncapi.html", context)


def _shown(frame: type[Any], *, by_client: bool) -> dict[str, Any]:
    kind = type_of(frame)
    return {
        "type": kind,
        "anchor": f"{'client' if by_client else 'server'}-{kind}",
        "summary": rendered(_summary(frame)),
        "answers": ANSWERS[kind] if by_client else (),
        "fields": _fields(frame),
        "example": _json(examples.frame(kind, by_client=by_client)),
    }


def _shown_event(event: type[Any]) -> dict[str, Any]:
    kind = type_of(event)
    return {"type": kind, "anchor": f"event-{kind}", "fields": _fields(event), "example": _json(examples.EVENTS[kind])}


def _shown_object(shape: type[Any]) -> dict[str, Any]:
    name = shape.__name__
    return {"type": name, "anchor": name, "summary": rendered(_summary(shape)), "fields": _fields(shape)}


def _json(value: Any) -> str:
    return json_of_python.dumps(value, indent=2, ensure_ascii=False)


def _fields(frame: type[Any]) -> list[dict[str, Any]]:
    schema = schema_of(frame)
    return [
        {
            "name": name,
            "type": _type_text(shape),
            "required": name in schema["required"],
            "description": rendered(shape.get("description", "")),
        }
        for name, shape in schema["properties"].items()
        if name not in {"type", "kind"} or "const" not in shape
    ]


def rendered(text: str) -> SafeString:
    """Return a docstring as HTML: what stands between backticks is code, which is all the Markdown there is in them."""
    return mark_safe(_CODE.sub(r"<code>\1</code>", escape(text)))  # noqa: S308  # escaped first


def _type_text(shape: dict[str, Any]) -> str:
    if "$ref" in shape:
        return str(shape["$ref"].rpartition("/")[2])
    if "oneOf" in shape:
        return " or ".join(_type_text(one) for one in shape["oneOf"])
    name = shape.get("type", "any")
    if isinstance(name, list):
        return " or ".join(str(part) for part in name)
    if name == "array":
        return f"list of {_type_text(shape['items'])}"
    return shape.get("format") or str(name)
