"""Selection of push recipients and texts, in a fixed number of queries for any number of members."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from functools import reduce
from operator import or_
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone, translation
from django.utils.translation import get_supported_language_variant
from django.utils.translation import gettext as _

from chat.log import encoding
from chat.models import Block, Conversation, Membership, Message
from sessions.models import PushRegistration
from sessions.places import sockets
from sessions.push import devices
from sessions.push.devices import Device
from sessions.push.provider import Push

Show = PushRegistration.Show


@dataclass(frozen=True, kw_only=True)
class Told:
    """A push with the conversation and `seq` that it is about."""

    push: Push
    conversation_id: int
    seq: int


@dataclass(frozen=True)
class _Member:
    """A device of a conversation's member, with that member's notification settings."""

    device: Device
    conversation_id: int
    unseen_after: int
    notify: str
    timezone: str
    quiet_from: time | None
    quiet_to: time | None


def messages(spans: Sequence[tuple[int, int, int]], *, only: Collection[int] | None = None) -> list[Told]:
    """Return the pushes for the messages of `(conversation_id, first_seq, last_seq)`, one a device and conversation.

    Of several messages, the push shows the newest that the user has not seen, may see and wants notified.
    `only`: just these registrations.
    """
    said = _said(spans)
    if not said:
        return []
    now = timezone.now()
    members = [member for member in _members(said, only=only, at=now) if not is_quiet(member, at=now)]
    blocked = _blocked(members, said)
    wanted = []
    for member in members:
        newest = _newest(member, said[member.conversation_id], blocked)
        if newest is not None:
            wanted.append((member, newest))
    away = _without_socket(member.device for member, _message in wanted)
    wanted = [(member, message) for member, message in wanted if member.device.sid in away]
    badges = badges_of({member.device.user_id for member, _message in wanted})
    return [
        Told(
            push=_message_push(member.device, message, badges.get(member.device.user_id, 0)),
            conversation_id=member.conversation_id,
            seq=message.seq,
        )
        for member, message in wanted
    ]


def seen(positions: Sequence[tuple[int, int, int]], *, shown: Any, only: Collection[int] | None = None) -> list[Told]:
    """Return silent pushes that clear notifications: `(user_id, conversation_id, up_to_seq)` was seen elsewhere.

    `shown(keys)` returns, of `(registration_id, conversation_id)`, those with a visible notification, with its `seq`.
    """
    by_person: dict[int, list[Device]] = defaultdict(list)
    for device in _devices({user_id for user_id, _conversation, _seq in positions}, only=only):
        by_person[device.user_id].append(device)
    wanted = [
        (device, conversation_id, seq)
        for user_id, conversation_id, seq in positions
        for device in by_person.get(user_id, ())
    ]
    on_screen = shown([(device.id, conversation_id) for device, conversation_id, _seq in wanted])
    wanted = [
        (device, conversation_id, seq)
        for device, conversation_id, seq in wanted
        if 0 < on_screen.get((device.id, conversation_id), 0) <= seq
    ]
    away = _without_socket(device for device, _conversation, _seq in wanted)
    wanted = [one for one in wanted if one[0].sid in away]
    if not wanted:
        return []
    uuids = dict(Conversation.objects.filter(pk__in={one[1] for one in wanted}).values_list("pk", "uuid"))
    badges = badges_of({device.user_id for device, _conversation, _seq in wanted})
    return [
        Told(
            push=device.push(
                data={
                    "conversation_uuid": str(uuids[conversation_id]),
                    "seq": seq,
                    "badge": badges.get(device.user_id, 0),
                    "seen": True,
                },
                collapse=str(uuids[conversation_id]),
            ),
            conversation_id=conversation_id,
            seq=seq,
        )
        for device, conversation_id, seq in wanted
        if conversation_id in uuids
    ]


def senders(spans: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the read positions that senders reach by sending: `(user_id, conversation_id, up_to_seq)`."""
    written: dict[tuple[int, int], int] = {}
    for conversation_id, found in _said(spans).items():
        for message in found:
            if message.sender_id is not None:
                key = (message.sender_id, conversation_id)
                written[key] = max(message.seq, written.get(key, 0))
    return [(*key, seq) for key, seq in written.items()]


def badges_of(user_ids: Collection[int]) -> dict[int, int]:
    """Return each user's number of unread messages over all conversations, without deleted ones."""
    if not user_ids:
        return {}
    gone = Message.objects.filter(
        conversation_id=OuterRef("conversation_id"),
        message_no__gt=OuterRef("seen_message_no"),
        deleted_at__isnull=False,
    )
    counted = gone.order_by().values("conversation_id").annotate(count=Count("pk")).values("count")
    unread = Greatest(
        F("conversation__last_message_no") - F("seen_message_no") - Coalesce(Subquery(counted), 0),
        0,
        output_field=BigIntegerField(),
    )
    rows = Membership.objects.filter(user_id__in=user_ids, left_seq=None).annotate(unread=unread)
    return dict(rows.order_by().values("user_id").annotate(badge=Sum("unread")).values_list("user_id", "badge"))


# --- Who --------------------------------------------------------------------------------------------------------------


def _said(spans: Sequence[tuple[int, int, int]]) -> dict[int, list[Message]]:
    """Return the messages in their present state, newest first, without deleted ones."""
    if not spans:
        return {}
    within = reduce(or_, (Q(conversation_id=room, seq__gte=first, seq__lte=last) for room, first, last in spans))
    rows = Message.objects.filter(within, deleted_at=None).select_related("sender", "conversation").order_by("-seq")
    found: dict[int, list[Message]] = defaultdict(list)
    for row in rows:
        found[row.conversation_id].append(row)
    return found


def _members(rooms: Collection[int], *, only: Collection[int] | None, at: datetime) -> list[_Member]:
    """Return the devices of all members with notifications on in these conversations, in one query."""
    rows = devices.living(at).filter(
        Q(user__memberships__muted_until=None) | Q(user__memberships__muted_until__lte=at),
        user__memberships__notify__in=[Membership.Notify.ALL, Membership.Notify.MENTIONS],
        user__memberships__conversation_id__in=list(rooms),
        user__memberships__left_seq=None,
    )
    if only is not None:
        rows = rows.filter(pk__in=list(only))
    found = rows.values_list(
        *devices.FIELDS,
        "user__memberships__conversation_id",
        Greatest("user__memberships__seen_seq", "user__memberships__visible_after_seq"),
        "user__memberships__notify",
        "user__timezone",
        "user__chat_settings__quiet_from",
        "user__chat_settings__quiet_to",
    )
    size = len(devices.FIELDS)
    return [_Member(Device(*row[:size]), *row[size:]) for row in found]


def _devices(user_ids: Collection[int], *, only: Collection[int] | None) -> list[Device]:
    rows = devices.living(timezone.now()).filter(user_id__in=user_ids)
    if only is not None:
        rows = rows.filter(pk__in=list(only))
    return list(devices.of(rows))


def _blocked(members: Iterable[_Member], said: dict[int, list[Message]]) -> set[tuple[int, int]]:
    """Return blocks as `(blocker, blocked)` between recipients and senders."""
    wrote = {message.sender_id for found in said.values() for message in found if message.sender_id is not None}
    told = {member.device.user_id for member in members}
    return set(Block.objects.filter(blocker_id__in=told, blocked_id__in=wrote).values_list("blocker_id", "blocked_id"))


def _newest(member: _Member, found: list[Message], blocked: set[tuple[int, int]]) -> Message | None:
    user_id = member.device.user_id
    for message in found:
        if message.seq <= member.unseen_after:
            return None
        if message.sender_id == user_id or (user_id, message.sender_id) in blocked:
            continue
        if member.notify == Membership.Notify.ALL or user_id in message.mentions:
            return message
    return None


def _without_socket(found: Iterable[Device]) -> set[uuid.UUID]:
    """Return the sessions that have no open socket, by one cache request."""
    sids = {device.sid for device in found}
    return {sid for sid, open_sockets in sockets.count(sids).items() if not open_sockets} if sids else set()


def is_quiet(member: _Member, *, at: datetime) -> bool:
    """Return whether it is within the user's quiet hours, which may span midnight."""
    if member.quiet_from is None or member.quiet_to is None:
        return False
    now = at.astimezone(zone_of(member.timezone)).time()
    if member.quiet_from < member.quiet_to:
        return member.quiet_from <= now < member.quiet_to
    return now >= member.quiet_from or now < member.quiet_to


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


# --- What -------------------------------------------------------------------------------------------------------------


def _message_push(device: Device, message: Message, badge: int) -> Push:
    conversation = message.conversation
    data: dict[str, Any] = {"conversation_uuid": str(conversation.uuid), "seq": message.seq, "badge": badge}
    with translation.override(language_of(device.language)):
        title, body = _words(device.show, message)
    if device.show != Show.NOTHING:
        data |= {"title": title, "body": body, "sender": encoding.person(message.sender)}
    return device.push(data=data, title=title, body=body, collapse=str(conversation.uuid), urgent=True)


def _words(show: str, message: Message) -> tuple[str, str]:
    """Return title and text in the active language. With `nothing` they only say that there is a new message."""
    if show == Show.NOTHING:
        return "", _("New message")
    name = name_of(message.sender)
    is_group = message.conversation.kind == Conversation.Kind.GROUP
    title = message.conversation.title if is_group else name
    if show == Show.SENDER:
        return title, _("New message from %(name)s") % {"name": name} if is_group else _("New message")
    text = " ".join(message.content.split())
    text = text if len(text) <= encoding.EXCERPT_CHARS else f"{text[: encoding.EXCERPT_CHARS - 1]}…"
    text = text or _("Attachment")
    return title, _("%(name)s: %(text)s") % {"name": name, "text": text} if is_group else text


def name_of(sender: Any) -> str:
    if encoding.person(sender) is None:
        return _("Deleted user")
    return f"{sender.first_name} {sender.last_name}".strip() or sender.username


def language_of(wish: str) -> str:
    try:
        return get_supported_language_variant(wish)
    except LookupError:
        return "en"
