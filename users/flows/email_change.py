"""Change of the e-mail address, which takes effect when the link mailed to the new address is followed."""

import uuid

from django.db import transaction
from django.utils import timezone

from common import rates
from common.client import Client
from common.signals import security_event
from sessions.services import lifecycle as sessions
from users import people
from users.mail import enqueue, limits, single_use
from users.models import User
from users.passwords import check


def request(*, user_id: int, email: str, password: str | None, client: Client, sid: uuid.UUID | None = None) -> None:
    """Mail a link to the new address and a notice to the old one; if the new one is taken, a notice to its owner.

    The response is always the same. Mails to one address are limited per hour, whoever asks: beyond, nothing is mailed.
    `password` None: the caller has checked `reauthentication.require_fresh` instead.

    Raises: ValidationFailed under `password` (counts towards the lockout), AccountLocked, TokenNotValid where the
    session ended meanwhile.
    """
    user = User.objects.get(pk=user_id)
    if password is not None:
        check.require(user=user, password=password, field="password", client=client, sid=sid)
    if rates.hit(name="mail_account_hourly", key=f"email_change:{user_id}") is not None:
        return
    if not limits.within_target(email):
        return
    owner = people.of(email).exclude(pk=user_id).first()
    with transaction.atomic():
        sessions.hold(user_id=user_id, sid=sid)
        if password is not None:
            check.require_unchanged(user, field="password")
        if owner:
            enqueue.send(owner.pk, "email_taken")
        else:
            enqueue.send(user_id, "verify_email", email=email)
        if user.email and user.email.lower() != email.lower():
            enqueue.send(user_id, "email_change_old_address", to=user.email, new_email=email)


def complete(*, user: User, email: str, client: Client) -> None:
    """Write the verified address; call inside the transaction that spends its link.

    Links that were mailed to the old address become invalid.

    Raises: IntegrityError if another account has it by now.
    """
    User.objects.filter(pk=user.pk).rewrite(email=email, email_verified=True)
    single_use.void_resets(user.pk)
    single_use.call_off_changes(user.pk)
    if email.lower() == user.email.lower():  # the same address in another spelling
        return
    security_event.send(
        sender=User,
        user_id=user.pk,
        kind="email_changed",
        at=timezone.now(),
        client=client,
        session_id=None,
        detail={},
    )
