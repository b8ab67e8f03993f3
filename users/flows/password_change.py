"""A new password for somebody who is signed in."""

import uuid
from dataclasses import dataclass

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from common.client import Client
from common.errors import TemporarilyUnavailable
from sessions import services as sessions
from sessions.models import UserSession
from users.models import User
from users.passwords import check, replace


@dataclass(frozen=True, kw_only=True)
class Changed:
    """The new pair of the session that asked; None for a request without a session."""

    user_session: UserSession | None
    tokens: sessions.TokenPair | None


def change(*, user_id: int, old_password: str, password: str, sid: uuid.UUID | None, client: Client) -> Changed:
    """Set the password, revoke every other session and hand this one a new pair, all or nothing.

    Raises: ValidationFailed under `old_password` (counts towards the lockout) or `new_password`, AccountLocked,
    TokenNotValid when the session ended meanwhile.
    """
    user = User.objects.get(pk=user_id)
    check.require(user=user, password=old_password, field="old_password", client=client)
    replace.validate(password, user=user, field="new_password")
    encoded = make_password(password)
    with transaction.atomic():
        now = timezone.now()
        if not replace.replace(user, password, at=now, encoded=encoded):
            raise TemporarilyUnavailable  # two changes at once: the other one won
        sessions.revoke_all(user_id=user.pk, except_sid=sid, reason="password_changed")
        user_session = UserSession.objects.filter(user=user, session_token=sid).first() if sid else None
        tokens = sessions.reissue(user_session=user_session) if user_session else None
        replace.tell(user, by="change", at=now, client=client, sid=sid)
    return Changed(user_session=user_session, tokens=tokens)
