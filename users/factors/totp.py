"""Codes of an authenticator app (RFC 6238: SHA-1, 30 s, six digits, one step of drift either way).

A step is accepted once, by a conditional UPDATE: a used code that somebody has seen is worthless.
"""

import io
import uuid
from dataclasses import dataclass
from datetime import timedelta

import pyotp
import segno
from django.conf import settings
from django.db import transaction
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from common import shared_clock
from common.client import Client
from common.errors import ApplicationError, InvalidCode
from sessions.models import UserSession
from sessions.services import assurance
from sessions.services import lifecycle as sessions
from sessions.tokens import sealing
from users.factors import challenges, events, recovery_codes
from users.factors.models import RecoveryCode, TotpFactor
from users.models import User
from users.passwords import lockout

STEP_SECONDS = 30
# How long a shown secret can be confirmed by its first code.
PENDING = timedelta(minutes=15)


class NotEnrolled(ApplicationError):
    status, code = 404, "not_found"
    detail = _("No authenticator app is set up.")


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    secret: str
    otpauth_url: str
    qr_svg: str


def begin(*, user: User) -> Enrolment:
    """Generate a secret and return it for display. It takes effect with `confirm`; a second call replaces it."""
    secret = pyotp.random_base32()
    sealed = sealing.seal(secret, context=context_of(user.pk))
    TotpFactor.objects.update_or_create(
        user_id=user.pk, defaults={"pending_secret": sealed, "pending_at": shared_clock.now()}
    )
    url = pyotp.TOTP(secret).provisioning_uri(name=user.email or user.username, issuer_name=settings.TOTP_ISSUER)
    drawn = io.BytesIO()
    segno.make(url, error="m").save(drawn, kind="svg", scale=4, xmldecl=False)
    return Enrolment(secret=secret, otpauth_url=url, qr_svg=drawn.getvalue().decode().strip())


def confirm(*, user: User, code: str, sid: uuid.UUID | None, client: Client) -> list[str]:
    """Turn TOTP on by a first code; return ten recovery codes. The current session counts as having used both factors.

    Wrong codes count against the session's own lockout counter. Raises: InvalidCode, AccountLocked.
    """
    guess = lockout.reserve(lockout.counter_of_session(sid) if sid else lockout.counter_of_user(user.pk))
    with lockout.given_back_on_failure(guess, but=()), transaction.atomic():
        sessions.hold(user_id=user.pk, sid=sid)
        factor = TotpFactor.objects.select_for_update().filter(user_id=user.pk).first()
        step = _step_of(factor.pending_secret, user.pk, code) if factor and _is_pending(factor) else None
        if step is not None and factor is not None:
            factor.secret, factor.pending_secret, factor.pending_at = factor.pending_secret, "", None
            factor.confirmed_at, factor.last_step = shared_clock.now(), step
            factor.save()
            codes = recovery_codes.replace(user.pk)
            session = UserSession.objects.filter(user_id=user.pk, session_token=sid).first() if sid else None
            if session is not None:
                assurance.raise_to(session, [assurance.OTP, assurance.MULTIPLE])
            events.tell("mfa_enabled", user_id=user.pk, sid=sid, client=client)
            lockout.succeed(guess)
            return codes
    lockout.fail(guess, user_id=user.pk, client=client)
    raise InvalidCode


def remove(*, user_id: int, sid: uuid.UUID | None, client: Client | None, **detail: str) -> None:
    """Turn the second factor off, with its recovery codes. Raises NotEnrolled (404)."""
    with transaction.atomic():
        sessions.hold(user_id=user_id, sid=sid)
        removed, _by_model = TotpFactor.objects.filter(user_id=user_id, confirmed_at__isnull=False).delete()
        if not removed:
            raise NotEnrolled
        RecoveryCode.objects.filter(user_id=user_id).delete()
        events.tell("mfa_disabled", user_id=user_id, sid=sid, client=client, **detail)


def use(user_id: int, typed: str) -> bool:
    """Accept a code once and return whether it is valid; call inside the transaction that it authorises."""
    factor = TotpFactor.objects.filter(user_id=user_id, confirmed_at__isnull=False).first()
    step = _step_of(factor.secret, user_id, typed) if factor else None
    if factor is None or step is None:
        return False
    changes: dict[str, object] = {"last_step": step}
    if not sealing.is_current(factor.secret):
        changes["secret"] = sealing.reseal(factor.secret, context=context_of(user_id))
    return bool(TotpFactor.objects.filter(pk=factor.pk, last_step__lt=step).update(**changes))


def _is_pending(factor: TotpFactor) -> bool:
    return bool(factor.pending_secret and factor.pending_at and shared_clock.now() - factor.pending_at <= PENDING)


def _step_of(sealed: str, user_id: int, typed: str) -> int | None:
    """Return the 30-second step that the code belongs to, None if it is wrong."""
    code = challenges.six_digits(typed)
    if code is None:
        return None
    try:
        generator = pyotp.HOTP(sealing.unseal(sealed, context=context_of(user_id)))
    except sealing.Unreadable:
        return None
    now = int(shared_clock.time()) // STEP_SECONDS
    right = [step for step in (now - 1, now, now + 1) if constant_time_compare(generator.at(step), code)]
    return right[-1] if right else None


def context_of(user_id: int) -> str:
    return f"totp:{user_id}"
