"""Passkeys (WebAuthn Level 3): with user verification and discoverable, and thus two factors by themselves.

The relying party and its origins come from settings, never from a header. The challenge is looked up by the client
data that was signed, and is spent before anything is verified: nothing can be replayed.
"""

import ipaddress
import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
import webauthn
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from common import rates
from common.client import Client, address_key
from common.errors import InvalidCode, InvalidOrExpiredToken, NotFound, PasskeysUnavailable
from sessions.services import assurance
from sessions.services import lifecycle as sessions
from users.factors import challenges, events, ways_in
from users.factors.models import Passkey
from users.flows import login
from users.models import User
from users.passwords import device_tokens, lockout

log = structlog.get_logger(__name__)
T = TypeVar("T")

FIRST, SECOND, NEW = "passkey", "passkey_mfa", "passkey_new"
AMR = [assurance.KEY, assurance.MULTIPLE]
CREDENTIAL_CHARS = 64_000
_TRANSPORTS = {transport.value for transport in AuthenticatorTransport}
# What py_webauthn and its decoders raise for an invalid credential.
_BROKEN = (WebAuthnException, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError)


def require_available() -> None:
    """Raise PasskeysUnavailable if the site has no domain name: a WebAuthn relying party cannot be an IP address."""
    try:
        ipaddress.ip_address(settings.RP_ID.strip("[]"))
    except ValueError:
        return
    raise PasskeysUnavailable


def _verified(verify: Callable[..., T], credential: dict[str, Any], **known: Any) -> T:
    """Return what py_webauthn reads from a credential made for this site. Raises InvalidCode for any other."""
    try:
        return verify(
            credential=credential,
            expected_challenge=_challenge_bytes(credential),
            expected_rp_id=settings.RP_ID,
            expected_origin=settings.PASSKEY_ORIGINS,
            require_user_verification=True,
            **known,
        )
    except _BROKEN as error:
        log.info("passkey.refused", reason=type(error).__name__)
        raise InvalidCode from None


# --- Making one -------------------------------------------------------------------------------------------------------


def creation_options(*, user: User) -> dict[str, Any]:
    """Return PublicKeyCredentialCreationOptionsJSON. Existing passkeys of the user are excluded."""
    require_available()
    held = list(Passkey.objects.filter(user_id=user.pk))
    handle = base64url_to_bytes(held[0].user_handle) if held else secrets.token_bytes(32)
    options = webauthn.generate_registration_options(
        rp_id=settings.RP_ID,
        rp_name=settings.RP_NAME,
        user_id=handle,
        user_name=user.email or user.username,
        user_display_name=user.get_full_name() or user.username,
        challenge=secrets.token_bytes(32),
        timeout=challenges.SECONDS * 1000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            require_resident_key=True,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[_descriptor(one) for one in held],
    )
    shown = options_to_json_dict(options)
    challenges.issue(NEW, user_id=user.pk, raw=shown["challenge"], handle=bytes_to_base64url(handle))
    return {**shown, "extensions": {"credProps": True}}


def add(*, user: User, credential: dict[str, Any], name: str, sid: uuid.UUID | None, client: Client) -> Passkey:
    """Store a new passkey and notify its owner.

    Raises: InvalidOrExpiredToken for a challenge that is not open for this user, InvalidCode for anything else.
    """
    require_available()
    challenge = _spend(credential, NEW, user_id=user.pk)
    made = _verified(webauthn.verify_registration_response, credential)
    transports = credential["response"].get("transports")
    passkey = Passkey(
        user_id=user.pk,
        credential_id=bytes_to_base64url(made.credential_id),
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        user_handle=challenge.data["handle"],
        name=name,
        transports=[one for one in transports if one in _TRANSPORTS] if isinstance(transports, list) else [],
        backed_up=made.credential_backed_up,
    )
    try:
        with transaction.atomic():
            sessions.hold(user_id=user.pk, sid=sid)
            passkey.save(force_insert=True)
            events.tell("passkey_added", user_id=user.pk, sid=sid, client=client, name=name)
    except IntegrityError:  # the credential is registered already
        raise InvalidCode from None
    return passkey


# --- Using one --------------------------------------------------------------------------------------------------------


def request_options(*, purpose: str = FIRST, user_id: int | None = None, of: str = "") -> dict[str, Any]:
    """Return PublicKeyCredentialRequestOptionsJSON for any passkey of the device, or only for those of `user_id`.

    `of`: the digest of the challenge (the login's `mfa_token`) that this one belongs to.
    """
    require_available()
    options = webauthn.generate_authentication_options(
        rp_id=settings.RP_ID,
        challenge=secrets.token_bytes(32),
        timeout=challenges.SECONDS * 1000,
        allow_credentials=[_descriptor(one) for one in Passkey.objects.filter(user_id=user_id)] if user_id else None,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    shown = options_to_json_dict(options)
    challenges.issue(purpose, user_id=user_id, raw=shown["challenge"], of=of)
    return shown


def open_options(*, client: Client) -> dict[str, Any]:
    """Return `request_options` without a user. Raises Throttled per client address, since each call stores a row."""
    require_available()
    rates.allow(name="passkey_options", key=address_key(client.ip_address))
    return request_options()


def authenticate(
    credential: dict[str, Any], *, purpose: str, client: Client, user_id: int | None = None, of: str = ""
) -> Passkey:
    """Verify an assertion and return the passkey that made it; call outside any transaction.

    A signature counter that does not increase means a cloned key: the passkey is removed and its owner notified
    (WebAuthn §6.1.1). Synced passkeys do not count: zero stays zero.

    Raises: InvalidOrExpiredToken, InvalidCode, PasskeysUnavailable.
    """
    require_available()
    challenge = _spend(credential, purpose)
    if challenge.data.get("of", "") != of or (challenge.user_id is not None and challenge.user_id != user_id):
        raise InvalidOrExpiredToken
    passkey = _of(credential, user_id)
    verified = _verified(
        webauthn.verify_authentication_response,
        credential,
        credential_public_key=bytes(passkey.public_key),
        credential_current_sign_count=0,  # compared below, where a clone can be handled
    )
    if passkey.sign_count and verified.new_sign_count <= passkey.sign_count:
        _end(passkey, client=client)
        raise InvalidCode
    used = Passkey.objects.filter(pk=passkey.pk, sign_count=passkey.sign_count)
    if not used.update(
        sign_count=verified.new_sign_count, backed_up=verified.credential_backed_up, last_used_at=timezone.now()
    ):
        raise InvalidCode  # two requests with the same counter
    return passkey


def _of(credential: dict[str, Any], user_id: int | None) -> Passkey:
    """Return the passkey of a credential after checking its owner. Raises InvalidCode."""
    credential_id, handle = credential.get("id"), credential["response"].get("userHandle")
    if not isinstance(credential_id, str) or "\0" in credential_id:  # PostgreSQL refuses NUL
        raise InvalidCode
    passkey = Passkey.objects.select_related("user").filter(credential_id=credential_id.rstrip("=")[:1400]).first()
    if passkey is None or not passkey.user.is_active or user_id not in (None, passkey.user_id):
        raise InvalidCode
    if handle is not None and not (
        isinstance(handle, str) and constant_time_compare(handle.rstrip("="), passkey.user_handle)
    ):
        raise InvalidCode
    return passkey


def sign_in(*, credential: dict[str, Any], client: Client, device_token: str = "", **device: Any) -> login.LoggedIn:
    """Sign in by a passkey alone, without username, password or second factor.

    Raises: Throttled, InvalidOrExpiredToken, InvalidCode, AccountLocked, EmailNotVerified.
    """
    require_available()
    rates.allow(name="login", key=address_key(client.ip_address))
    user = authenticate(credential, purpose=FIRST, client=client).user
    device_id = device_tokens.read(device_token, user=user)
    counter = lockout.counter_of_device(device_id) if device_id else lockout.counter_of_user(user.pk)
    guess = lockout.reserve(counter)
    return login.finish(user=user, guess=guess, amr=AMR, client=client, device_id=device_id, **device)


def _end(passkey: Passkey, *, client: Client) -> None:
    with transaction.atomic():
        if Passkey.objects.filter(pk=passkey.pk).delete()[0]:
            events.tell("passkey_removed", user_id=passkey.user_id, client=client, name=passkey.name, reason="counter")


# --- Keeping them -----------------------------------------------------------------------------------------------------


def rename(*, user_id: int, passkey_id: uuid.UUID, name: str) -> Passkey:
    """Rename a passkey of this user. Raises NotFound (404), also for somebody else's."""
    passkey = Passkey.objects.filter(user_id=user_id, pk=passkey_id).first()
    if passkey is None:
        raise NotFound
    passkey.name = name
    passkey.save(update_fields=["name"])
    return passkey


def remove(*, user_id: int, passkey_id: uuid.UUID, sid: uuid.UUID | None, client: Client) -> None:
    """Remove a passkey of this user. Raises NotFound (404), LastFactor (409) for the last way to sign in."""
    with transaction.atomic():
        sessions.hold(user_id=user_id, sid=sid)
        user = ways_in.locked(user_id)
        passkey = Passkey.objects.filter(user_id=user_id, pk=passkey_id).first()
        if passkey is None:
            raise NotFound
        ways_in.require_another(user, without_passkey=passkey.pk)
        passkey.delete()
        events.tell("passkey_removed", user_id=user_id, sid=sid, client=client, name=passkey.name)


# --- The wire ---------------------------------------------------------------------------------------------------------


def _descriptor(passkey: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        id=base64url_to_bytes(passkey.credential_id),
        transports=[AuthenticatorTransport(one) for one in passkey.transports if one in _TRANSPORTS] or None,
    )


def _challenge_of(credential: dict[str, Any]) -> str:
    """Return the challenge in the client data. Raises InvalidCode if the credential is malformed."""
    try:
        text = base64url_to_bytes(credential["response"]["clientDataJSON"])
        said = json.loads(text)["challenge"]
    except (*_BROKEN, RecursionError):
        raise InvalidCode from None
    if not isinstance(said, str):
        raise InvalidCode
    return said.rstrip("=")


def _challenge_bytes(credential: dict[str, Any]) -> bytes:
    return base64url_to_bytes(_challenge_of(credential))


def _spend(credential: dict[str, Any], purpose: str, *, user_id: int | None = None) -> Any:
    challenge = challenges.peek(purpose, _challenge_of(credential))
    if user_id is not None and challenge.user_id != user_id:
        raise InvalidOrExpiredToken
    challenges.spend(challenge)
    return challenge
