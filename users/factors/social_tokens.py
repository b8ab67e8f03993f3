"""Refresh tokens of Apple, stored sealed and revoked when the account closes, as its App Store requires.

Used for providers with a client in the settings (`SOCIAL_APPLE_KEY_ID`, `_TEAM_ID`, `_PRIVATE_KEY`). Tasks exchange
the code and revoke the token, so that no sign-in or closing waits for it; secrets in task arguments are sealed.

Source: Apple, "Revoke tokens" and "Generate and validate tokens"; RFC 7009.
"""

import time
from typing import Any

import httpx
import jwt
import structlog
from django.conf import settings
from django_tasks import task

from common.errors import ProviderUnavailable
from common.tasks import GiveUp
from sessions.tokens import sealing
from users.factors import oidc
from users.factors.models import SocialLink

log = structlog.get_logger(__name__)

CLIENT_SECRET_SECONDS = 300


class ProviderAway(Exception):
    """The provider did not answer: the worker retries the task."""


def keep(*, user_id: int, provider: str, authorization_code: str) -> None:
    """Enqueue the exchange of the code for a refresh token, if the provider wants tokens revoked at the end."""
    if _client(provider):
        sealed = sealing.seal(authorization_code, context=f"code:{user_id}:{provider}")
        exchange.enqueue(user_id=user_id, provider=provider, sealed=sealed)


def revoke(link: SocialLink) -> None:
    """Enqueue the revocation in the caller's transaction, which may delete the link."""
    if link.refresh_token and _client(link.provider):
        revoke_token.enqueue(provider=link.provider, user_id=link.user_id, sealed=link.refresh_token)


@task()
def exchange(user_id: int, provider: str, sealed: str) -> None:
    """Get the refresh token of a sign-in and store it sealed. Raises ProviderAway: the worker retries."""
    code = _unsealed(sealed, f"code:{user_id}:{provider}")
    answer = _post(provider, "token_endpoint", grant_type="authorization_code", code=code)
    token = answer.get("refresh_token")
    if isinstance(token, str) and token:
        kept = sealing.seal(token, context=context_of(user_id, provider))
        SocialLink.objects.filter(user_id=user_id, provider=provider).update(refresh_token=kept)


@task()
def revoke_token(provider: str, user_id: int, sealed: str) -> None:
    token = _unsealed(sealed, context_of(user_id, provider))
    _post(provider, "revocation_endpoint", token=token, token_type_hint="refresh_token")  # noqa: S106
    log.info("social.revoked", provider=provider, user_id=user_id)


def _unsealed(sealed: str, context: str) -> str:
    try:
        return sealing.unseal(sealed, context=context)
    except sealing.Unreadable:
        raise GiveUp("the key has left the ring") from None


def context_of(user_id: int, provider: str) -> str:
    return f"social:{user_id}:{provider}"


def _client(provider: str) -> dict[str, Any]:
    return settings.SOCIAL.get(provider, {}).get("client") or {}


def client_secret(provider: str) -> str:
    """Return the JWT that Apple accepts as client secret."""
    client = _client(provider)
    now = int(time.time())
    claims = {
        "iss": client["team_id"],
        "iat": now,
        "exp": now + CLIENT_SECRET_SECONDS,
        "aud": settings.SOCIAL[provider]["issuer"],
        "sub": settings.SOCIAL[provider]["client_ids"][0],
    }
    return jwt.encode(claims, client["private_key"], algorithm="ES256", headers={"kid": client["key_id"]})


def _post(provider: str, endpoint: str, **fields: str) -> dict[str, Any]:
    if not _client(provider):
        raise GiveUp("no client in the settings")
    sent = {"client_id": settings.SOCIAL[provider]["client_ids"][0], "client_secret": client_secret(provider), **fields}
    try:
        response = httpx.post(oidc.endpoint(provider, endpoint), data=sent, timeout=oidc.TIMEOUT_SECONDS)
    except (httpx.HTTPError, ProviderUnavailable) as error:
        raise ProviderAway(type(error).__name__) from None
    if response.status_code >= 500 or response.status_code == 429:
        raise ProviderAway(str(response.status_code))
    if response.status_code != 200:  # the body may quote the code
        raise GiveUp(f"{endpoint}: {response.status_code}")
    try:
        answer = response.json()
    except ValueError:
        return {}  # the response to a revocation is empty
    return answer if isinstance(answer, dict) else {}
