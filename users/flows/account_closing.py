"""Closing of an account: personal data is erased; messages stay for the others, without a name."""

import uuid
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from common.client import Client
from common.signals import user_closing
from sessions.services import lifecycle as sessions
from users.factors import social_tokens
from users.factors.models import Challenge, Passkey, RecoveryCode, SocialLink, TotpFactor
from users.identity import names
from users.mail import enqueue
from users.models import EmailVerificationToken, NoticeToken, PasswordResetToken, SecurityEvent, User
from users.passwords import check, lockout

FACTORS: tuple[Any, ...] = (TotpFactor, RecoveryCode, Passkey, SocialLink, Challenge)


def close(*, user_id: int, password: str | None, client: Client, sid: uuid.UUID | None = None) -> None:
    """Revoke every session, erase the personal data and keep an empty row, all or nothing.

    `user_closing` is sent inside the transaction, so that each app erases its part of it.

    `password` None: the caller has checked `reauthentication.require_fresh` instead.

    Raises: ValidationFailed under `password` (counts towards the lockout), AccountLocked, TokenNotValid where the
    session ended meanwhile.
    """
    user = User.objects.get(pk=user_id)
    if password is not None:
        check.require(user=user, password=password, field="password", client=client, sid=sid)
    with transaction.atomic():
        sessions.hold(user_id=user_id, sid=sid)
        if password is not None:
            check.require_unchanged(user, field="password")
        address, language = user.email, user.language
        sessions.revoke_all(user_id=user_id, reason="account_closed")
        user_closing.send(sender=User, user_id=user_id)
        for link in SocialLink.objects.filter(user_id=user_id):
            social_tokens.revoke(link)
        for model in (*FACTORS, PasswordResetToken, EmailVerificationToken, NoticeToken, SecurityEvent):
            model.objects.filter(user_id=user_id).delete()
        lockout.unlock(user_id)
        _erase(user)
        if address:
            enqueue.send(user_id, "account_closed", to=address, language=language)


def _erase(user: User) -> None:
    username = names.closed(user.pk)
    if User.objects.exclude(pk=user.pk).filter(username_key=names.skeleton(username)).exists():
        username += f"-{uuid.uuid4().hex[:12]}"  # an import or a fixture gave the name to somebody
    blank = User(pk=user.pk, username=username, password=make_password(None), is_active=False)
    blank.date_joined, blank.closed_at = user.date_joined, timezone.now()
    blank.email_notifications = blank.push_notifications = False
    blank._state.adding = False
    blank.save(force_update=True)
    user.groups.clear()
    user.user_permissions.clear()
