"""Verification of an e-mail address by a mailed link: of a registration, a resend, or an address change.

Source: section "Vérification d'Email".
"""

import uuid

from django.db import IntegrityError, transaction

from common import rates
from common.client import Client, address_key
from common.errors import InvalidOrExpiredToken
from users.flows import email_change
from users.identity import addresses
from users.mail import enqueue, limits, single_use
from users.models import EmailVerificationToken, User


def verify(*, token: str, client: Client) -> None:
    """Spend the link and mark its address as verified; a new address becomes the account's.

    Following the same link again succeeds if it verified the account's address: mail scanners and double clicks.

    Raises: Throttled, InvalidOrExpiredToken (also if the new address has been taken meanwhile).
    """
    rates.allow(name="verify_email", key=address_key(client.ip_address))
    raw = single_use.parse(token)
    try:
        with transaction.atomic():
            # The user's row is locked first, as everywhere: a parallel password change cancels it before it is read.
            user_id = single_use.peek(EmailVerificationToken, raw).user_id
            user = User.objects.select_for_update(no_key=True).get(pk=user_id)
            row = single_use.spend(EmailVerificationToken, raw)
            if not user.is_active:
                raise InvalidOrExpiredToken
            if row.allowed_by:
                if not single_use.holds(user, "email_change", row.allowed_by):
                    raise InvalidOrExpiredToken
                email_change.complete(user=user, email=row.email, client=client)
            elif row.email and row.email.lower() != user.email.lower():
                raise InvalidOrExpiredToken  # the account has another address by now: nothing is changed
            else:
                User.objects.filter(pk=user.pk).update(email_verified=True)
    except IntegrityError:
        raise InvalidOrExpiredToken from None
    except InvalidOrExpiredToken:
        if not _has_verified(raw):
            raise


def _has_verified(raw: uuid.UUID) -> bool:
    row = (
        EmailVerificationToken.objects.filter(token=single_use.digest(raw), is_used=True).select_related("user").first()
    )
    if row is None or not row.user.is_active or not row.user.email_verified:
        return False
    return (row.email or row.user.email).lower() == row.user.email.lower()


def resend(*, client: Client, user_id: int | None = None, email: str = "") -> None:
    """Mail a new link to the signed-in user, or to the account of an address, if there is an address to verify.

    Raises: Throttled by the client's address; beyond the account's own limit nothing is mailed, silently.
    """
    rates.allow(name="resend_verification", key=address_key(client.ip_address))
    address = addresses.key(User.objects.values_list("email", flat=True).get(pk=user_id) if user_id else email)
    if limits.within("resend_verification", address):
        enqueue.send_verification(email=address, language=client.language)
