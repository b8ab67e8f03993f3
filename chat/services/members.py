"""Membership of groups: add, remove, leave, roles. Every change is an event, written under the conversation's lock.

A group may have several owners. An owner may do everything; an admin adds people and removes members; a member may
leave.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Case, IntegerField, Value, When
from django.utils.translation import gettext_lazy as _

from chat.log import events
from chat.models import Conversation, Membership
from chat.services import access, blocks, people
from common import shared_clock
from common.errors import NotFound, PermissionRefused, ValidationFailed

Role = Membership.Role
RANK = {Role.MEMBER: 0, Role.ADMIN: 1, Role.OWNER: 2}


def locked_with(*, user_id: int, conversation_uuid: uuid.UUID) -> tuple[Conversation, Membership]:
    """Lock the conversation and return it with the user's membership as read under the lock. Raises NotFound."""
    conversation = events.locked(access.member_of(user_id, conversation_uuid).conversation_id)
    membership = living(conversation, user_id)
    if membership is None:  # they were removed while this call waited
        raise NotFound
    return conversation, membership


def _locked_group(*, user_id: int, conversation_uuid: uuid.UUID) -> tuple[Conversation, Membership]:
    conversation, membership = locked_with(user_id=user_id, conversation_uuid=conversation_uuid)
    if conversation.kind != Conversation.Kind.GROUP:  # the members of a direct conversation are fixed
        raise PermissionRefused
    return conversation, membership


def living(conversation: Conversation, user_id: int) -> Membership | None:
    """Return the user's living membership, None if there is none."""
    return Membership.objects.living().filter(conversation=conversation, user_id=user_id).first()


def require_room(count: int) -> None:
    """Raise ValidationFailed if a group may not have that many members."""
    limit = settings.CHAT_GROUP_MEMBERS
    if limit and count > limit:
        raise ValidationFailed.of(
            "user_ids", "too_many_members", _("A group has at most %(limit)s members.") % {"limit": limit}
        )


def event_payload(user_id: int, role: str) -> dict[str, Any]:
    """Return the payload of a `member.*` event: the id, not the name, so that a closed account's name is nowhere."""
    return {"user_id": user_id, "role": str(role)}


@transaction.atomic
def add(*, user_id: int, conversation_uuid: uuid.UUID, user_ids: Iterable[int]) -> Conversation:
    """Add users; existing members are unchanged.

    A former member joins anew. Raises NotFound for non-members, PermissionRefused below admin, ValidationFailed for
    unknown or too many users, Blocked if one of them blocks the caller.
    """
    conversation, me = _locked_group(user_id=user_id, conversation_uuid=conversation_uuid)
    if me.role == Role.MEMBER:
        raise PermissionRefused
    known = {row.user_id: row for row in conversation.memberships.filter(user_id__in=set(user_ids))}
    new = sorted(person for person in set(user_ids) if person not in known or known[person].left_seq is not None)
    if not new:
        return conversation
    require_room(conversation.members_count + len(new))
    people.require_all(new)
    blocks.refuse_blockers(user_id, among=new)

    now = shared_clock.now()
    first = conversation.last_seq + 1
    rows = [
        _joining(known.get(person), conversation, person, seq=first + place, at=now) for place, person in enumerate(new)
    ]
    Membership.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["conversation", "user"],
        update_fields=[field.name for field in Membership._meta.concrete_fields if field.name not in KEPT],
    )
    conversation.members_count += len(new)
    conversation.save(update_fields=["members_count"])
    events.append_all(
        conversation,
        [("member.joined", event_payload(person, Role.MEMBER)) for person in new],
        actor_id=user_id,
        at=now,
    )
    return conversation


# Columns that are kept when a former member joins again.
KEPT = {"id", "conversation", "user", "last_sent_at"}


def _joining(
    before: Membership | None, conversation: Conversation, user_id: int, *, seq: int, at: datetime
) -> Membership:
    """Return the row of a user joining with event `seq`: visible from there on, nothing earlier counts as unread."""
    return Membership(
        conversation=conversation,
        user_id=user_id,
        role=Role.MEMBER,
        joined_at=at,
        joined_seq=seq,
        joined_message_no=conversation.last_message_no,
        visible_after_seq=0 if conversation.history_visible else seq - 1,
        seen_seq=conversation.last_seq,
        seen_message_no=conversation.last_message_no,
    )


@transaction.atomic
def change_role(*, user_id: int, conversation_uuid: uuid.UUID, member_id: int, role: str) -> Membership:
    """Change a member's role, also one's own; a group keeps at least one owner.

    To hand a group over: make another member owner, then step down or leave. Raises NotFound, PermissionRefused for
    non-owners, ValidationFailed if the last owner steps down.
    """
    conversation, me = _locked_group(user_id=user_id, conversation_uuid=conversation_uuid)
    member = living(conversation, member_id)
    if member is None:
        raise NotFound
    if me.role != Role.OWNER:
        raise PermissionRefused
    if member.role == role:
        return member
    if member.role == Role.OWNER and not _other_owner(conversation, member):
        raise ValidationFailed.of("role", "last_owner", _("A group needs an owner: make somebody else owner first."))
    _set_role(conversation, member, role, actor_id=user_id, at=shared_clock.now())
    return member


def _other_owner(conversation: Conversation, member: Membership) -> bool:
    owners = Membership.objects.living().filter(conversation=conversation, role=Role.OWNER)
    return owners.exclude(pk=member.pk).exists()


def _set_role(conversation: Conversation, member: Membership, role: str, *, actor_id: int | None, at: datetime) -> None:
    member.role = role
    member.save(update_fields=["role"])
    events.append(
        conversation,
        kind="member.role_changed",
        actor_id=actor_id,
        at=at,
        payload=event_payload(member.user_id, role),
    )


@transaction.atomic
def remove(*, user_id: int, conversation_uuid: uuid.UUID, member_id: int) -> None:
    """Remove a member; removing oneself is leaving. Admins remove members, owners anyone. Raises as `add`."""
    conversation, me = _locked_group(user_id=user_id, conversation_uuid=conversation_uuid)
    member = living(conversation, member_id)
    if member is None:
        raise NotFound
    if member_id != user_id and not _may_remove(me, member):
        raise PermissionRefused
    end(conversation, member, actor_id=user_id, at=shared_clock.now())


def _may_remove(me: Membership, member: Membership) -> bool:
    return me.role == Role.OWNER or RANK[Role(me.role)] > RANK[Role(member.role)]


def leave(*, user_id: int, conversation_uuid: uuid.UUID) -> None:
    """Leave a group. Raises NotFound for non-members, PermissionRefused in a direct conversation."""
    remove(user_id=user_id, conversation_uuid=conversation_uuid, member_id=user_id)


def end(conversation: Conversation, member: Membership, *, actor_id: int | None, at: datetime) -> None:
    """End a membership of the *locked* conversation with `member.left`, the last event that this user sees.

    If the last owner leaves, the longest-standing admin, else member, becomes owner.
    """
    event = events.append(
        conversation,
        kind="member.left",
        actor_id=actor_id,
        at=at,
        payload=event_payload(member.user_id, member.role),
    )
    member.left_at, member.left_seq = at, event.seq
    member.save(update_fields=["left_at", "left_seq"])
    conversation.members_count = max(0, conversation.members_count - 1)
    conversation.save(update_fields=["members_count"])
    if member.role == Role.OWNER and not _other_owner(conversation, member) and (heir := _heir(conversation)):
        _set_role(conversation, heir, Role.OWNER, actor_id=None, at=at)


def _heir(conversation: Conversation) -> Membership | None:
    rank = Case(When(role=Role.ADMIN, then=Value(0)), default=Value(1), output_field=IntegerField())
    return Membership.objects.living().filter(conversation=conversation).order_by(rank, "joined_seq", "pk").first()
