"""Reports of messages, and what a moderator does with one: look at the context, remove, warn, suspend,
answer, dismiss.

Every step of a moderator is logged as `moderation.<step>`, and by the admin in its own history.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models import Message, MessageRevision, Report
from chat.services import messages
from common.errors import NotFound, PermissionRefused, ValidationFailed
from common.signals import moderated, user_suspended
from sessions.services import lifecycle as sessions

log = structlog.get_logger(__name__)

# Messages shown before and after a reported one.
CONTEXT = 5
# Earlier reports of a person that are shown with one.
SHOWN = 10
TEXT_CHARS = 500


def visible_message(*, user_id: int, message_uuid: uuid.UUID) -> Message:
    """Return a message that the user can see. Raises NotFound."""
    message = Message.objects.visible_to(user_id).filter(uuid=message_uuid).first()
    if message is None:
        raise NotFound
    return message


def report(*, user_id: int, message_uuid: uuid.UUID, reason: str) -> tuple[Report, bool]:
    """Report a message; return the report and whether it is new (one report per user and message). Raises NotFound."""
    message = visible_message(user_id=user_id, message_uuid=message_uuid)
    row, created = Report.objects.get_or_create(
        message=message,
        reporter_id=user_id,
        defaults={"reason": reason, "created_at": timezone.now(), "accused_id": message.sender_id},
    )
    if created:
        log.info("moderation.reported", report=str(row.uuid), message=str(message_uuid), user_id=user_id)
    return row, created


@dataclass(frozen=True, kw_only=True)
class Context:
    """The context of a report: the message, its earlier contents, and a few messages around it."""

    reported: Message
    revisions: Sequence[MessageRevision]
    before: Sequence[Message]
    after: Sequence[Message]


def context_of(row: Report) -> Context:
    """Return the context of a reported message."""
    reported = row.message
    around = Message.objects.filter(conversation_id=reported.conversation_id).select_related("sender")
    return Context(
        reported=reported,
        revisions=list(reported.revisions.order_by("pk")),
        before=list(around.filter(seq__lt=reported.seq).order_by("-seq")[:CONTEXT])[::-1],
        after=list(around.filter(seq__gt=reported.seq).order_by("seq")[:CONTEXT]),
    )


def viewed(row: Report, *, moderator_id: int) -> None:
    """Log that a moderator viewed the reported message and its context."""
    log.info("moderation.viewed", report=str(row.uuid), moderator_id=moderator_id)


@transaction.atomic
def remove_message(row: Report, *, moderator_id: int) -> None:
    """Delete the reported message for everyone and resolve its reports."""
    messages.moderate(moderator_id=moderator_id, message_uuid=row.message.uuid)
    _close(row, Report.Status.RESOLVED, moderator_id=moderator_id)
    log.info(
        "moderation.message_removed", report=str(row.uuid), message=str(row.message.uuid), moderator_id=moderator_id
    )


@transaction.atomic
def suspend_sender(row: Report, *, moderator_id: int, until: datetime | None = None, text: str = "") -> None:
    """Suspend who wrote it: no sign-in, every session revoked, sockets closed; resolve the message's reports.

    `until` ends it by itself; without one it lasts until somebody enables the account. The person is mailed.

    Raises NotFound where the account is gone, PermissionRefused for staff, whom only an administrator suspends.
    """
    sender = row.message.sender
    if sender is None:
        raise NotFound
    if sender.is_staff or sender.is_superuser:
        raise PermissionRefused
    # Sessions before the user, and no key lock on the user's row: a parallel send share-locks the session first and
    # references the user last; the other order would deadlock.
    sessions.revoke_all(user_id=sender.pk, reason="account_disabled")
    get_user_model()._default_manager.filter(pk=sender.pk).update(is_active=False)
    user_id = sender.pk
    moderated.send(sender=Report, user_id=user_id, act="suspended", text=clean(text), until=until)
    transaction.on_commit(lambda: user_suspended.send_robust(sender=Report, user_id=user_id), robust=True)
    _close(row, Report.Status.RESOLVED, moderator_id=moderator_id)
    log.info("moderation.person_suspended", report=str(row.uuid), user_id=user_id, moderator_id=moderator_id)


@transaction.atomic
def warn_sender(row: Report, *, moderator_id: int, text: str = "") -> None:
    """Mail a warning to who wrote it and resolve the message's reports. Raises NotFound where the account is gone."""
    if row.message.sender_id is None:
        raise NotFound
    moderated.send(sender=Report, user_id=row.message.sender_id, act="warned", text=clean(text), until=None)
    _close(row, Report.Status.RESOLVED, moderator_id=moderator_id)
    log.info("moderation.person_warned", report=str(row.uuid), user_id=row.message.sender_id, moderator_id=moderator_id)


@transaction.atomic
def answer_reporter(row: Report, *, moderator_id: int, text: str) -> None:
    """Mail an answer to who reported it; the report stays as it is.

    Raises: NotFound where nobody reported it or the account is gone, ValidationFailed for an empty answer.
    """
    if row.reporter_id is None:
        raise NotFound
    if not clean(text):
        raise ValidationFailed.of("text", "required", _("Write what the reporter is to read."))
    moderated.send(sender=Report, user_id=row.reporter_id, act="answered", text=clean(text), until=None)
    log.info("moderation.answered", report=str(row.uuid), moderator_id=moderator_id)


def clean(text: str) -> str:
    """Return a moderator's words as one paragraph of a mail."""
    return " ".join(text.split())[:TEXT_CHARS]


@dataclass(frozen=True, kw_only=True)
class History:
    """Earlier reports about a person: the newest few, with their outcomes."""

    rows: Sequence[Report]
    more: bool


def history_of(user_id: int, *, except_id: int = 0) -> History:
    rows = Report.objects.filter(accused_id=user_id).exclude(pk=except_id).order_by("-pk")[: SHOWN + 1]
    found = list(rows)
    return History(rows=found[:SHOWN], more=len(found) > SHOWN)


def dismiss(row: Report, *, moderator_id: int) -> None:
    """Close one report without further action."""
    Report.objects.filter(pk=row.pk, status=Report.Status.OPEN).update(
        status=Report.Status.DISMISSED, resolved_at=timezone.now(), resolved_by_id=moderator_id
    )
    log.info("moderation.dismissed", report=str(row.uuid), moderator_id=moderator_id)


def _close(row: Report, status: str, *, moderator_id: int) -> None:
    Report.objects.filter(message_id=row.message_id, status=Report.Status.OPEN).update(
        status=status, resolved_at=timezone.now(), resolved_by_id=moderator_id
    )
