"""Password change of a signed-in user."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from common import passwords
from common.client import Client
from common.errors import TokenNotValid
from sessions.models import UserSession
from sessions.services import lifecycle as sessions
from users.models import SecurityEvent, User
from users.passwords import check, device_tokens, replace


@dataclass(frozen=True, kw_only=True)
class Changed:
    """Result: the session's new token pair (None for a request without a session) and a new `device_token`."""

    user_session: UserSession | None
    tokens: sessions.TokenPair | None
    device_token: str


def change(
    *,
    user_id: int,
    old_password: str,
    password: str,
    sid: uuid.UUID | None,
    client: Client,
    superseded: bool = False,
) -> Changed:
    """Set the password, revoke every other session and issue a new pair for this one, all or nothing.

    The same request repeated by the same session within `REFRESH_REUSE_INTERVAL` gets the current pair: the first
    response was lost, or two requests arrived at once. Only such a repeat may use the old token (`superseded`).

    Raises: ValidationFailed under `old_password` (counts towards the lockout) or `new_password`, AccountLocked,
    TokenNotValid when the session ended meanwhile.
    """
    user = User.objects.get(pk=user_id)
    just_changed = _has_just_changed(user_id, sid, at=timezone.now())
    if superseded and not just_changed:
        raise TokenNotValid("expired")
    if superseded:
        check.require(user=user, password=password, field="old_password", client=client, sid=sid)
        return _repeated(user, sid)
    is_new = check.require(
        user=user,
        password=old_password,
        field="old_password",
        client=client,
        sid=sid,
        or_else=password if just_changed else None,
    )
    if not is_new:
        return _repeated(user, sid)
    replace.validate(password, user=user, field="new_password")
    encoded = passwords.encode(password)
    with transaction.atomic():
        now = timezone.now()
        if replace.replace(user, encoded):
            replace.take_effect(user.pk, by="change", at=now, client=client, sid=sid)
            user_session = UserSession.objects.filter(user=user, session_token=sid).first() if sid else None
            tokens = sessions.reissue(user_session=user_session) if user_session else None
            return Changed(user_session=user_session, tokens=tokens, device_token=_device_token(user_id))
    # A parallel change won: this one either repeats it, or its old password is no longer correct.
    user = User.objects.get(pk=user_id)
    if _has_just_changed(user_id, sid, at=timezone.now()) and check.matches(user, password):
        return _repeated(user, sid)
    raise check.wrong("old_password")


def _has_just_changed(user_id: int, sid: uuid.UUID | None, *, at: datetime) -> bool:
    since = at - timedelta(seconds=settings.REFRESH_REUSE_INTERVAL)
    changes = SecurityEvent.objects.filter(user_id=user_id, kind="password_changed", session_id=sid, at__gt=since)
    return any(event.detail.get("by") == "change" for event in changes)


def _repeated(user: User, sid: uuid.UUID | None) -> Changed:
    user_session = UserSession.objects.filter(user=user, session_token=sid).first() if sid else None
    tokens = sessions.pair_once_more(user_session=user_session) if user_session else None
    return Changed(user_session=user_session, tokens=tokens, device_token=_device_token(user.pk))


def _device_token(user_id: int) -> str:
    """Return a new token for this device: the new password has invalidated its earlier one."""
    return device_tokens.make(User.objects.get(pk=user_id))
