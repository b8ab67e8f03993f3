"""Creation of conversations, their title and description, and the list."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import CharField, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.utils.translation import gettext_lazy as _

from chat.log import events
from chat.models import Conversation, Membership
from chat.services import access, blocks, members, people
from common import shared_clock
from common.errors import Blocked, PermissionRefused, ValidationFailed
from common.text import fold


def listed(*, user_id: int, archived: bool = False, q: str = "") -> QuerySet[Conversation]:
    """Return the user's conversations, archived or not; with `q` those matching by title or another member's name."""
    mine = Membership.objects.living().filter(user_id=user_id, archived=archived)
    rows = Conversation.objects.filter(pk__in=mine.values("conversation_id"))
    if not (q := fold(q).strip()):
        return rows
    named = (
        Membership.objects.living()
        .filter(conversation_id=OuterRef("pk"))
        .exclude(user_id=user_id)
        .alias(
            full_name=Concat("user__search_first_name", Value(" "), "user__search_last_name", output_field=CharField())
        )
        .filter(Q(full_name__contains=q) | Q(user__search_username__contains=q))
    )
    return rows.filter(Q(search_title__contains=q) | Exists(named))


def direct_key(one: int, other: int) -> str:
    """Return the unique key of two users' direct conversation: "7:12"."""
    return f"{min(one, other)}:{max(one, other)}"


@transaction.atomic
def open_direct(*, user_id: int, other_id: int) -> tuple[Conversation, bool]:
    """Return the direct conversation of two people and whether it is new.

    The unique `direct_key` serialises parallel calls: the later one waits for the earlier and finds its row.
    Raises ValidationFailed for oneself, NotFound for an unknown user, Blocked if either blocks the other.
    """
    if other_id == user_id:
        raise ValidationFailed.of("user_id", "self", _("You cannot talk to yourself."))
    people.require_one(other_id)
    if blocks.is_blocked_between(user_id, other_id):
        raise Blocked
    key = direct_key(user_id, other_id)
    if existing := Conversation.objects.filter(direct_key=key).first():
        return existing, False
    try:
        with transaction.atomic():
            conversation = _create(
                user_id=user_id, user_ids=[user_id, other_id], kind=Conversation.Kind.DIRECT, direct_key=key
            )
    except IntegrityError:
        return Conversation.objects.get(direct_key=key), False
    return conversation, True


@transaction.atomic
def create_group(*, user_id: int, title: str, user_ids: Iterable[int], history_visible: bool = False) -> Conversation:
    """Create a group that the user owns.

    Raises ValidationFailed for unknown or too many users, Blocked if one of them blocks the creator.
    """
    others = set(user_ids) - {user_id}
    members.require_room(1 + len(others))
    people.require_all(others)
    blocks.refuse_blockers(user_id, among=others)
    return _create(
        user_id=user_id,
        user_ids=[user_id, *sorted(others)],
        kind=Conversation.Kind.GROUP,
        title=title,
        history_visible=history_visible,
    )


def _create(*, user_id: int, user_ids: list[int], kind: str, **fields: Any) -> Conversation:
    """Store the conversation, its first members and their events: `conversation.created`, then who joined."""
    now = shared_clock.now()
    conversation = Conversation.objects.create(
        kind=kind, created_by_id=user_id, created_at=now, updated_at=now, members_count=len(user_ids), **fields
    )
    owner = user_id if kind == Conversation.Kind.GROUP else None
    Membership.objects.bulk_create(_first_member(conversation, person, owner=owner, at=now) for person in user_ids)
    joined = [("member.joined", members.event_payload(person, _first_role(person, owner))) for person in user_ids]
    events.append_all(
        conversation, [("conversation.created", described(conversation)), *joined], actor_id=user_id, at=now
    )
    return conversation


def _first_role(user_id: int, owner: int | None) -> str:
    return Membership.Role.OWNER if user_id == owner else Membership.Role.MEMBER


def _first_member(conversation: Conversation, user_id: int, *, owner: int | None, at: datetime) -> Membership:
    # The first members all joined with event 1 and see everything.
    return Membership(
        conversation=conversation, user_id=user_id, role=_first_role(user_id, owner), joined_at=at, joined_seq=1
    )


def described(conversation: Conversation) -> dict[str, str]:
    """Return the payload of a `conversation.*` event."""
    return {"title": conversation.title, "description": conversation.description}


@transaction.atomic
def update(*, user_id: int, conversation_uuid: uuid.UUID, **changes: Any) -> Conversation:
    """Change title, description, `history_visible` or `slow_mode_seconds` of a group; members get an event.

    Making the history visible opens it to present members too; hiding it again affects only users who join later.
    Raises NotFound for non-members, PermissionRefused for plain members and in direct conversations.
    """
    conversation, membership = members.locked_with(user_id=user_id, conversation_uuid=conversation_uuid)
    if conversation.kind == Conversation.Kind.DIRECT or membership.role == Membership.Role.MEMBER:
        raise PermissionRefused
    return _change(conversation, user_id=user_id, changes=changes)


@transaction.atomic
def set_slow_mode(*, moderator_id: int, conversation_id: int, seconds: int) -> Conversation:
    """Set a group's slow mode as a moderator, who need not be a member. Raises PermissionRefused for a direct one."""
    conversation = events.locked(conversation_id)
    if conversation.kind == Conversation.Kind.DIRECT:
        raise PermissionRefused
    return _change(conversation, user_id=moderator_id, changes={"slow_mode_seconds": seconds})


def _change(conversation: Conversation, *, user_id: int, changes: dict[str, Any]) -> Conversation:
    """Store what differs in the *locked* conversation and append the event."""
    changed = {name: value for name, value in changes.items() if getattr(conversation, name) != value}
    if not changed:
        return conversation
    for name, value in changed.items():
        setattr(conversation, name, value)
    conversation.save(update_fields=list(changed))
    if changed.get("history_visible"):
        Membership.objects.living().filter(conversation=conversation).update(visible_after_seq=0)
    opened = {"history_opened": True} if changed.get("history_visible") else {}
    slowed = {name: value for name, value in changed.items() if name == "slow_mode_seconds"}
    events.append(
        conversation,
        kind="conversation.updated",
        actor_id=user_id,
        at=shared_clock.now(),
        payload={**described(conversation), **opened, **slowed},
    )
    return conversation


def update_settings(*, user_id: int, conversation_uuid: uuid.UUID, **changes: Any) -> None:
    """Set `muted_until`, `pinned`, `archived` or `notify` for this user only. Raises NotFound for non-members."""
    membership = access.member_of(user_id, conversation_uuid)
    if changes:
        Membership.objects.living().filter(pk=membership.pk).update(**changes)
