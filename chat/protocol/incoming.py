"""Frames that a client sends: each struct decodes and validates one, and is published in AsyncAPI.

Unknown keys are ignored; `null` counts as absent. `type` must be one of `INCOMING`.
"""

import json
import re
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.utils.translation import gettext as _
from msgspec import Meta

BIGINT_MAX = 2**63 - 1

Position = Annotated[int, Meta(ge=0, le=BIGINT_MAX)]
Attachments = Annotated[list[UUID], Meta(max_length=10)]
DefaultConversation = Annotated[UUID | None, Meta(description="Absent only on a socket with a default conversation.")]
Echoed = Annotated[Any, Meta(description="Echoed in the answer.", extra_json_schema={"type": ["string", "integer"]})]


class FrameRefused(Exception):
    """A frame that is answered by `error`. `bad`: a malformed one; five of these in a minute close the socket."""

    def __init__(
        self, code: str, detail: str, *, ref: Any = None, client_msg_id: Any = None, bad: bool = False
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.bad = code, detail, bad
        self.ref, self.client_msg_id = ref, client_msg_id


class Incoming(msgspec.Struct, kw_only=True, tag_field="type"):
    ref: Annotated[
        Any, Meta(description="Echoed in the answer.", extra_json_schema={"type": ["string", "integer"]})
    ] = None


class MessageFrame(Incoming, kw_only=True, tag="message"):
    """Send a message. Answered by `ack` after commit, or by `error`."""

    conversation_uuid: Annotated[
        UUID | None, Meta(description="Absent only on a socket with a default conversation.")
    ] = None
    content: Annotated[str | None, Meta(description="1 to 4,000 characters.")] = ""
    client_msg_id: Annotated[
        UUID | None, Meta(description="Made when the person taps send; a repeat under it is harmless for ever.")
    ] = None
    reply_to: Annotated[UUID | None, Meta(description="A message of the same conversation.")] = None
    attachments: Annotated[Annotated[list[UUID], Meta(max_length=10)] | None, Meta(description="Uploaded before.")] = (
        None
    )


class MarkAsSeenFrame(Incoming, kw_only=True, tag="mark_as_seen"):
    """Mark as seen. The members get a `receipt`, where the person shares them."""

    conversation_uuid: Annotated[
        UUID | None, Meta(description="Absent only on a socket with a default conversation.")
    ] = None
    up_to_seq: Annotated[Position | None, Meta(description="Absent: the newest sent on this socket, else of all.")] = (
        None
    )


class EditFrame(Incoming, kw_only=True, tag="edit"):
    """Change what an own message says. Answered by `ack`."""

    message_uuid: Annotated[UUID, Meta(description="The message.")]
    content: Annotated[str, Meta(description="1 to 4,000 characters.")]


class DeleteFrame(Incoming, kw_only=True, tag="delete"):
    """Take a message back. Answered by `ack`."""

    message_uuid: Annotated[UUID, Meta(description="The message.")]


class ReactFrame(Incoming, kw_only=True, tag="react"):
    """Add or remove one's reaction. Answered by `ack`."""

    message_uuid: Annotated[UUID, Meta(description="The message.")]
    emoji: Annotated[str, Meta(description="One emoji.")]
    remove: Annotated[bool | None, Meta(description="Take it back.")] = False


class ResumeFrame(Incoming, kw_only=True, tag="resume"):
    """Catch up. After the one without `more` come `events`, `gap` and `removed`, then `resumed`."""

    epoch: Annotated[
        Annotated[str, Meta(max_length=64)], Meta(description="From the `hello` of when the cursors were kept.")
    ]
    cursors: Annotated[dict[UUID, Position], Meta(description="The last `seq` applied of each conversation.")]
    more: Annotated[bool | None, Meta(description="More cursors follow in another frame.")] = False


class SyncFrame(Incoming, kw_only=True, tag="sync"):
    """Mend a hole in one conversation. Answered by `events` (at most 200) or `gap`."""

    conversation_uuid: Annotated[
        UUID | None, Meta(description="Absent only on a socket with a default conversation.")
    ] = None
    after_seq: Annotated[Position, Meta(description="The last `seq` applied.")]


class TypingFrame(Incoming, kw_only=True, tag="typing"):
    """Show the others that one is typing; ends by itself after 6 s."""

    conversation_uuid: Annotated[
        UUID | None, Meta(description="Absent only on a socket with a default conversation.")
    ] = None
    active: Annotated[bool, Meta(description="Typing, or no longer.")]


class PresenceFrame(Incoming, kw_only=True, tag="presence"):
    """Follow who is online: `presence` now and on every change. Replaces the list given before."""

    user_ids: Annotated[
        Annotated[list[Position], Meta(max_length=100)], Meta(description="People one shares a conversation with.")
    ]


class AuthenticateFrame(Incoming, kw_only=True, tag="authenticate"):
    """Give the socket a newer token of the same user and session, so that it lives on. Answered by `authenticated`."""

    token: Annotated[str, Meta(description="An access token.")]


class PingFrame(Incoming, kw_only=True, tag="ping"):
    """Heartbeat. Answered at once by `pong`, whatever else is waiting."""


Frame = (
    MessageFrame
    | MarkAsSeenFrame
    | EditFrame
    | DeleteFrame
    | ReactFrame
    | ResumeFrame
    | SyncFrame
    | TypingFrame
    | PresenceFrame
    | AuthenticateFrame
    | PingFrame
)
INCOMING: dict[str, type[Incoming]] = {str(frame.__struct_config__.tag): frame for frame in Frame.__args__}  # type: ignore[attr-defined]

_decoder: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Frame)
_BOM = "\ufeff"
_FIELD = re.compile(r"`\$\.(\w+)|required field `(\w+)`")


def parse(text: str) -> Incoming:
    """Return the frame. Raises FrameRefused: `bad_frame`, `unknown_type` or `validation_error`.

    A valid frame is decoded and validated in one pass; only a refused one is parsed again, to find the reason.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        if text.startswith(_BOM):  # skipped, as before the JSON of a request
            return parse(text.lstrip(_BOM))
        raise _refusal(text, error) from None


def _refusal(text: str, error: Exception) -> FrameRefused:
    try:
        # Python's own decoder also accepts a lone surrogate, which is an error of one text, not of the whole frame.
        body = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return FrameRefused("bad_frame", _("This is not JSON."), bad=True)
    fields = body if isinstance(body, dict) else {}
    ref, client_msg_id = _echo(fields.get("ref")), _echo(fields.get("client_msg_id"))
    if not isinstance(fields.get("type"), str):
        detail = _("A frame is a JSON object with a type.")
        return FrameRefused("bad_frame", detail, ref=ref, client_msg_id=client_msg_id, bad=True)
    if fields["type"] not in INCOMING:
        detail = _("There is no frame of this type.")
        return FrameRefused("unknown_type", detail, ref=ref, client_msg_id=client_msg_id)
    if broken := [name for name, value in fields.items() if not _is_writable(name) or not _is_writable(value)]:
        name = broken[0] if _is_writable(broken[0]) else "?"
    elif isinstance(error, msgspec.ValidationError):
        found = _FIELD.search(str(error))
        name = (found[1] or found[2]) if found else "?"
    else:  # valid only for Python's decoder: nested too deeply
        return FrameRefused("bad_frame", _("This is not JSON."), ref=ref, client_msg_id=client_msg_id, bad=True)
    detail = _("The field %(name)s is missing or not valid.") % {"name": name}
    return FrameRefused("validation_error", detail, ref=ref, client_msg_id=client_msg_id)


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _is_writable(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _echo(value: Any) -> Any:
    """Return the value that a response echoes, None if it cannot be encoded."""
    return value if _is_writable(value) else None
