"""Social sign-in with Google, Apple, or any OpenID provider of the settings.

A user is identified by the provider's `sub`. An e-mail address links to an existing account only if both sides have
verified it (`docs/adr/linking-by-verified-address.md`): otherwise an attacker could register first with somebody
else's address and get access when its owner signs in.
"""

import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext_lazy as _

from common import rates
from common.client import Client, address_key
from common.errors import (
    AccountExists,
    InvalidIdToken,
    NoActiveAccount,
    NotFound,
    RegistrationClosed,
    ValidationFailed,
)
from sessions.services import assurance
from sessions.services import lifecycle as sessions
from users import people
from users.factors import events, oidc, social_tokens, ways_in
from users.factors.models import SocialLink
from users.flows import login
from users.identity import addresses, names
from users.mail import enqueue, limits
from users.models import User
from users.passwords import device_tokens, lockout


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    logged_in: login.LoggedIn
    created: bool


def sign_in(
    *,
    provider: str,
    id_token: str,
    client: Client,
    nonce: str = "",
    authorization_code: str = "",
    first_name: str = "",
    last_name: str = "",
    device_token: str = "",
    **device: Any,
) -> SignedIn:
    """Sign in, and link or create the account if the rules allow it.

    `first_name`, `last_name`: Apple gives them to the app, once; used only for a new account.

    Raises: Throttled, NotFound, InvalidIdToken, ProviderUnavailable, AccountExists, RegistrationClosed, AccountLocked,
    MfaRequired, EmailNotVerified, NoActiveAccount.
    """
    rates.allow(name="login", key=address_key(client.ip_address))
    who = oidc.verify(provider, id_token, nonce=nonce)
    names_given = {"first_name": first_name or who.first_name, "last_name": last_name or who.last_name}
    user, created = _account(who, client=client, **names_given)
    if authorization_code:
        social_tokens.keep(user_id=user.pk, provider=provider, authorization_code=authorization_code)
    device_id = device_tokens.read(device_token, user=user)
    guess = lockout.reserve(lockout.counter_of_device(device_id) if device_id else lockout.counter_of_user(user.pk))
    logged_in = login.finish(
        user=user, guess=guess, amr=[assurance.FEDERATED], client=client, device_id=device_id, **device
    )
    return SignedIn(logged_in=logged_in, created=created)


def _account(who: oidc.Identity, *, client: Client, **names_given: str) -> tuple[User, bool]:
    """Return the user of an identity, and whether the account is new."""
    for _attempt in range(3):
        linked = _linked(who)
        if linked is not None:
            return linked, False
        try:
            with transaction.atomic():
                email = _address(who)
                owner = people.of(email).select_for_update(no_key=True).first() if email else None
                if owner is None:
                    return _open(who, email, client=client, **names_given), True
                if not (who.email_verified and owner.email_verified and owner.is_active):
                    raise AccountExists
                if SocialLink.objects.filter(user=owner, provider=who.provider).exists():
                    raise AccountExists  # linked to another account of that provider
                _store(owner, who, sid=None, client=client)
                return owner, False
        except IntegrityError:
            continue  # a parallel request linked or created it: look again
    raise AccountExists


def _linked(who: oidc.Identity) -> User | None:
    link = SocialLink.objects.select_related("user").filter(provider=who.provider, subject=who.subject).first()
    if link is None:
        return None
    if not link.user.is_active:
        raise NoActiveAccount
    return link.user


def _address(who: oidc.Identity) -> str:
    """Return the address in its stored spelling, '' if it is invalid."""
    try:
        return addresses.normalise(who.email) if who.email else ""
    except ValidationError:
        return ""


def _open(who: oidc.Identity, email: str, *, client: Client, first_name: str, last_name: str) -> User:
    if not settings.REGISTRATION_OPEN:
        raise RegistrationClosed
    user = User(
        username=_free_name(email or first_name),
        email=email,
        email_verified=bool(email) and who.email_verified,
        password=make_password(None),
        first_name=first_name,
        last_name=last_name,
        language=client.language,
    )
    user.save()
    SocialLink.objects.create(user=user, provider=who.provider, subject=who.subject, email=email)
    if email and not who.email_verified and limits.within_target(email):
        enqueue.send(user.pk, "verify_email")
    return user


def _free_name(wish: str) -> str:
    """Return a free username made from the address or the first name. The user can change it later."""
    base = re.sub(r"[^a-z0-9]", "", wish.partition("@")[0].lower())[:20] or "user"
    for digits in (0, 4, 8):
        name = f"{base}{secrets.randbelow(10**digits):0{digits}}" if digits else base
        if len(name) >= 3 and not User.objects.filter(username_key=names.skeleton(name)).exists():
            return name
    return f"{base}{uuid.uuid4().hex[:12]}"


def _store(user: User, who: oidc.Identity, *, sid: uuid.UUID | None, client: Client) -> SocialLink:
    link = SocialLink.objects.create(user=user, provider=who.provider, subject=who.subject, email=_address(who))
    events.tell("social_linked", user_id=user.pk, sid=sid, client=client, provider=who.provider)
    return link


# --- Somebody who is signed in ----------------------------------------------------------------------------------------


def link(
    *,
    user: User,
    provider: str,
    id_token: str,
    sid: uuid.UUID | None,
    client: Client,
    nonce: str = "",
    authorization_code: str = "",
) -> SocialLink:
    """Link an account of another provider; its address is ignored. Idempotent.

    Raises: AccountExists (409) if it is linked to another user, ValidationFailed if another account of that provider is
    linked already, and what `oidc.verify` raises.
    """
    who = oidc.verify(provider, id_token, nonce=nonce)
    try:
        with transaction.atomic():
            sessions.hold(user_id=user.pk, sid=sid)
            ways_in.locked(user.pk)
            held = SocialLink.objects.filter(provider=provider, subject=who.subject).first()
            if held is not None and held.user_id != user.pk:
                raise AccountExists(_("This account is linked to somebody else's."))
            if held is None and SocialLink.objects.filter(user=user, provider=provider).exists():
                raise ValidationFailed.of("provider", "unique", _("Another account of this provider is linked."))
            held = held or _store(user, who, sid=sid, client=client)
    except IntegrityError:
        raise AccountExists(_("This account is linked to somebody else's.")) from None
    if authorization_code:
        social_tokens.keep(user_id=user.pk, provider=provider, authorization_code=authorization_code)
    return held


def unlink(*, user_id: int, provider: str, sid: uuid.UUID | None, client: Client) -> None:
    """Unlink a provider. Raises NotFound (404), LastFactor (409) for the last way to sign in."""
    if "\0" in provider:  # PostgreSQL refuses NUL
        raise NotFound
    with transaction.atomic():
        sessions.hold(user_id=user_id, sid=sid)
        user = ways_in.locked(user_id)
        held = SocialLink.objects.filter(user_id=user_id, provider=provider).first()
        if held is None:
            raise NotFound
        ways_in.require_another(user, without_provider=provider)
        social_tokens.revoke(held)
        held.delete()
        events.tell("social_unlinked", user_id=user_id, sid=sid, client=client, provider=provider)


def require_own(*, user: User, provider: str, id_token: str, nonce: str = "") -> None:
    """Require an ID token of an account that is linked to this user. Raises InvalidIdToken."""
    who = oidc.verify(provider, id_token, nonce=nonce)
    if not SocialLink.objects.filter(user_id=user.pk, provider=provider, subject=who.subject).exists():
        raise InvalidIdToken
