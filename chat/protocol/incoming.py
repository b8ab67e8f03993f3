"""Frames that a client sends: each class is the schema that checks them and that AsyncAPI publishes.

A field's type is its check: `UUID`, `str`, `int` (0 to 2^63-1), `bool`, `list[…]`, `dict[UUID, int]`, and `… | None`
where it may be absent. Unknown keys are ignored. `type` chooses from `INCOMING` and from nothing else.
"""

import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext as _

from common import json

BIGINT_MAX = 2**63 - 1


class FrameRefused(Exception):
    """A frame that is answered by an `error`. `bad`: one of the kind of which five in a minute end the socket."""

    def __init__(
        self, code: str, detail: str, *, ref: Any = None, client_msg_id: Any = None, bad: bool = False
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.bad = code, detail, bad
        self.ref, self.client_msg_id = ref, client_msg_id


def described(text: str, *, default: Any = None, required: bool = False, most: int | None = None) -> Any:
    """Declare a field: what it means, and how many items or characters it takes at most."""
    metadata = {"description": text, "most": most}
    return field(metadata=metadata) if required else field(default=default, metadata=metadata)


@dataclass(kw_only=True, slots=True)
class Incoming:
    TYPE: ClassVar[str] = ""
    ref: str | int | None = described("Echoed in the answer.")


@dataclass(kw_only=True, slots=True)
class MessageFrame(Incoming):
    """Send a message. Answered by `ack` after commit, or by `error`."""

    TYPE: ClassVar[str] = "message"
    conversation_uuid: UUID | None = described("Absent only on a socket with a default conversation.")
    content: str = described("1 to 4,000 characters.", default="")
    client_msg_id: UUID | None = described("Made when the person taps send; a repeat under it is harmless for ever.")
    reply_to: UUID | None = described("A message of the same conversation.")
    attachments: list[UUID] | None = described("Uploaded before.", most=10)


@dataclass(kw_only=True, slots=True)
class MarkAsSeenFrame(Incoming):
    """Mark as seen. The members get a `receipt`, where the person shares them."""

    TYPE: ClassVar[str] = "mark_as_seen"
    conversation_uuid: UUID | None = described("Absent only on a socket with a default conversation.")
    up_to_seq: int | None = described("Absent: the newest sent on this socket, else the newest there is.")


@dataclass(kw_only=True, slots=True)
class EditFrame(Incoming):
    """Change what an own message says. Answered by `ack`."""

    TYPE: ClassVar[str] = "edit"
    message_uuid: UUID = described("The message.", required=True)
    content: str = described("1 to 4,000 characters.", required=True)


@dataclass(kw_only=True, slots=True)
class DeleteFrame(Incoming):
    """Take a message back. Answered by `ack`."""

    TYPE: ClassVar[str] = "delete"
    message_uuid: UUID = described("The message.", required=True)


@dataclass(kw_only=True, slots=True)
class ReactFrame(Incoming):
    """Add or remove one's reaction. Answered by `ack`."""

    TYPE: ClassVar[str] = "react"
    message_uuid: UUID = described("The message.", required=True)
    emoji: str = described("One emoji.", required=True)
    remove: bool = described("Take it back.", default=False)


@dataclass(kw_only=True, slots=True)
class ResumeFrame(Incoming):
    """Catch up. After the one without `more` come `events`, `gap` and `removed`, then `resumed`."""

    TYPE: ClassVar[str] = "resume"
    epoch: str = described("From the `hello` of when the cursors were kept.", required=True, most=64)
    cursors: dict[UUID, int] = described("The last `seq` applied of each conversation.", required=True)
    more: bool = described("More cursors follow in another frame.", default=False)


@dataclass(kw_only=True, slots=True)
class SyncFrame(Incoming):
    """Mend a hole in one conversation. Answered by `events` (at most 200) or `gap`."""

    TYPE: ClassVar[str] = "sync"
    conversation_uuid: UUID | None = described("Absent only on a socket with a default conversation.")
    after_seq: int = described("The last `seq` applied.", required=True)


@dataclass(kw_only=True, slots=True)
class TypingFrame(Incoming):
    """Show the others that one is typing; ends by itself after 6 s."""

    TYPE: ClassVar[str] = "typing"
    conversation_uuid: UUID | None = described("Absent only on a socket with a default conversation.")
    active: bool = described("Typing, or no longer.", required=True)


@dataclass(kw_only=True, slots=True)
class PresenceFrame(Incoming):
    """Follow who is online: `presence` now and on every change. Replaces the list given before."""

    TYPE: ClassVar[str] = "presence"
    user_ids: list[int] = described("People one shares a conversation with.", required=True, most=100)


@dataclass(kw_only=True, slots=True)
class AuthenticateFrame(Incoming):
    """Give the socket a newer token of the same user and session, so that it lives on. Answered by `authenticated`."""

    TYPE: ClassVar[str] = "authenticate"
    token: str = described("An access token.", required=True)


@dataclass(kw_only=True, slots=True)
class PingFrame(Incoming):
    """Heartbeat. Answered at once by `pong`, whatever else is waiting."""

    TYPE: ClassVar[str] = "ping"


INCOMING: dict[str, type[Incoming]] = {
    frame.TYPE: frame
    for frame in (
        MessageFrame, MarkAsSeenFrame, EditFrame, DeleteFrame, ReactFrame, ResumeFrame, SyncFrame, TypingFrame,
        PresenceFrame, AuthenticateFrame, PingFrame,
    )
}  # fmt: skip


def parse(text: str) -> Incoming:
    """Return the frame. Raises FrameRefused: `bad_frame`, `unknown_type` or `validation_error`."""
    try:
        body = json.loads(text)
    except json.JSONDecodeError:
        raise FrameRefused("bad_frame", _("This is not JSON."), bad=True) from None
    fields = body if isinstance(body, dict) else {}
    ref, client_msg_id = _echo(fields.get("ref")), _echo(fields.get("client_msg_id"))
    if not isinstance(fields.get("type"), str):
        detail = _("A frame is a JSON object with a type.")
        raise FrameRefused("bad_frame", detail, ref=ref, client_msg_id=client_msg_id, bad=True)
    frame = INCOMING.get(body["type"])
    if frame is None:
        raise FrameRefused("unknown_type", _("There is no frame of this type."), ref=ref, client_msg_id=client_msg_id)
    values: dict[str, Any] = {"ref": ref}
    for name, (check, required) in _CHECKS[frame].items():
        value = body.get(name)
        if value is None:
            if required:
                raise _invalid(name, ref, client_msg_id)
            continue
        try:
            values[name] = check(value)
        except (ValueError, TypeError):
            raise _invalid(name, ref, client_msg_id) from None
    return frame(**values)


def _invalid(name: str, ref: Any, client_msg_id: Any) -> FrameRefused:
    detail = _("The field %(name)s is missing or not valid.") % {"name": name}
    return FrameRefused("validation_error", detail, ref=ref, client_msg_id=client_msg_id)


def _echo(value: Any) -> Any:
    """Return what is sent back: the value as it came, None where it is nested too deep to be written again."""
    if isinstance(value, dict | list):
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            return None
    return value


def _uuid(value: Any) -> UUID:
    if not isinstance(value, str) or len(value) > 45:
        raise ValueError
    return UUID(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= BIGINT_MAX:
        raise ValueError
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_SCALARS: dict[Any, Callable[[Any], Any]] = {UUID: _uuid, int: _integer, str: _string, bool: _boolean}


def _check_of(hint: Any, most: int | None) -> Callable[[Any], Any]:
    hint = _without_none(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        item = _check_of(arguments[0], None)

        def check_list(value: Any) -> list[Any]:
            if not isinstance(value, list) or (most is not None and len(value) > most):
                raise ValueError
            return [item(one) for one in value]

        return check_list
    if origin is dict:
        key, item = _check_of(arguments[0], None), _check_of(arguments[1], None)

        def check_dict(value: Any) -> dict[Any, Any]:
            if not isinstance(value, dict):
                raise ValueError
            return {key(name): item(one) for name, one in value.items()}

        return check_dict
    scalar = _SCALARS[hint]
    if most is None:
        return scalar

    def check_short(value: Any) -> Any:
        if len(scalar(value)) > most:
            raise ValueError
        return value

    return check_short


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        kept = [one for one in typing.get_args(hint) if one is not types.NoneType]
        return kept[0]
    return hint


def _is_required(one: Any) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


_CHECKS: dict[type[Incoming], dict[str, tuple[Callable[[Any], Any], bool]]] = {
    frame: {
        one.name: (_check_of(typing.get_type_hints(frame)[one.name], one.metadata["most"]), _is_required(one))
        for one in fields(frame)
        if one.name != "ref"
    }
    for frame in INCOMING.values()
}
