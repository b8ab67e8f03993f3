"""Verification of a telephone number by six digits in an SMS: five tries, single use.

Whether a number is taken is revealed only to users who have proved that it is theirs.
"""

import uuid

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from common.client import Client
from common.errors import InvalidCode, InvalidOrExpiredToken, SmsRefused, ValidationFailed
from sessions.services import lifecycle as sessions
from users.factors import challenges, events
from users.models import User
from users.phone import budgets, numbers, senders, tasks

PURPOSE = "phone"
SECONDS = 600
RESEND_SECONDS = 60


def request(*, user: User, number: str, client: Client) -> str:
    """Take the budgets and enqueue the SMS; return the challenge. Older ones stay valid: SMS may arrive out of order.

    Raises: ValidationFailed (`not_mobile`, `country_not_served`), SmsRefused (429).
    """
    mobile = numbers.mobile(number)
    if senders.sender() is None:
        raise SmsRefused(reason="not_configured")
    with transaction.atomic():
        budgets.take_for_code(
            number=mobile.number, country=mobile.country, user_id=user.pk, ip_address=client.ip_address
        )
        challenge = challenges.issue(PURPOSE, user_id=user.pk, seconds=SECONDS, number=mobile.number)
        tasks.send_code.enqueue(digest=challenges.digest(challenge))
    return challenge


def confirm(*, user: User, challenge: str, code: str, sid: uuid.UUID | None, client: Client) -> User:
    """Write the verified number.

    Raises: InvalidOrExpiredToken, InvalidCode, ValidationFailed (`unique`) if another account has verified it.
    """
    row = challenges.attempt(PURPOSE, challenge)
    if row.user_id != user.pk:
        raise InvalidOrExpiredToken
    if not challenges.is_code(row, code):
        raise InvalidCode
    number = row.data["number"]
    try:
        with transaction.atomic():
            sessions.hold(user_id=user.pk, sid=sid)
            challenges.spend(row)
            User.objects.filter(pk=user.pk).rewrite(phone_number=number, phone_verified=True)
            events.tell("phone_changed", user_id=user.pk, sid=sid, client=client, number=numbers.masked(number))
    except IntegrityError:
        raise ValidationFailed.of("phone_number", "unique", _("Another account has this number.")) from None
    return User.objects.get(pk=user.pk)
