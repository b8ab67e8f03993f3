"""Reauthentication: the user authenticates again in a living session, as sensitive actions require.

`require_fresh` guards every call that a stolen token must not make: adding or removing a factor, changing phone or
address, export, closing the account.
"""

import uuid
from contextlib import nullcontext
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from common.client import Client
from common.errors import InvalidCode, ReauthenticationRequired, ValidationFailed
from sessions.models import UserSession
from sessions.services import assurance
from users.factors import codes, events, passkeys, second_factor, social
from users.models import User
from users.passwords import check, lockout


def require_fresh(*, user: User, sid: uuid.UUID | None) -> None:
    """Require that the session was authenticated recently; a request without a session never was.

    Raises: ReauthenticationRequired (403) with the methods that would satisfy it.
    """
    row = UserSession.objects.filter(user_id=user.pk, session_token=sid).first() if sid else None
    if row is None or not assurance.is_fresh(row, second_factor=second_factor.is_on(user.pk), at=timezone.now()):
        raise ReauthenticationRequired(methods=second_factor.ways_to_reauthenticate(user))


def reauthenticate(
    *,
    user: User,
    sid: uuid.UUID | None,
    gen: int,
    client: Client,
    password: str = "",
    code: str = "",
    credential: dict[str, Any] | None = None,
    provider: str = "",
    id_token: str = "",
    nonce: str = "",
) -> assurance.Proven:
    """Check the given factors and make the session fresh. Several factors in one call count together.

    Raises: ReauthenticationRequired if one factor is not enough, InvalidCode, InvalidIdToken, ValidationFailed
    (`invalid_password`, or nothing given), AccountLocked, ProviderUnavailable.
    """
    if not (password or code or credential is not None or (provider and id_token)):
        raise ValidationFailed.of("non_field_errors", "required", _("Give a password, a code or a passkey."))
    if sid is None or (second_factor.is_on(user.pk) and not code and credential is None):
        raise ReauthenticationRequired(methods=second_factor.ways_to_reauthenticate(user))
    amr: list[str] = []
    if password:
        check.require(user=user, password=password, field="password", client=client, sid=sid)
        amr.append(assurance.PASSWORD)
    if provider and id_token:
        social.require_own(user=user, provider=provider, id_token=id_token, nonce=nonce)
        amr.append(assurance.FEDERATED)
    if credential is not None:
        passkeys.authenticate(credential, purpose=passkeys.FIRST, client=client, user_id=user.pk)
        amr += passkeys.AMR
    guess = lockout.reserve(lockout.counter_of_session(sid)) if code else None
    settled = lockout.given_back_on_failure(guess, but=InvalidCode) if guess is not None else nullcontext()
    try:
        with settled, transaction.atomic():
            if guess is not None:
                proof = codes.use(user.pk, code, client=client)
                if proof is None:
                    raise InvalidCode
                lockout.succeed(guess)
                amr += proof
            events.tell("reauthenticated", user_id=user.pk, client=client, sid=sid, amr=assurance.ordered(amr))
            return assurance.prove(user_id=user.pk, sid=sid, gen=gen, amr=amr)
    except InvalidCode:
        if guess is not None:
            lockout.fail(guess, user_id=user.pk, client=client)
        raise
