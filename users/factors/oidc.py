"""Verification of ID tokens of OpenID providers: signature by the published keys, then `iss`, `aud`, `exp`, `nonce`.

Keys come from discovery, are cached for an hour, and are fetched again for an unknown `kid`, at most three times in
half a minute. While a provider is down its cached keys stay in use; for a token of any other key the response is 503
within three seconds, and for some seconds after that immediately.

Source: OpenID Connect Core §3.1.3.7, Discovery §4.3; RFC 8725 §3.1 (the key says which algorithm, not the token).
"""

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog
from django.conf import settings
from django.utils.crypto import constant_time_compare

from common.errors import InvalidIdToken, NotFound, ProviderUnavailable

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 3.0
KEEP_SECONDS = 3_600
AWAY_SECONDS = 2
REFETCHES, REFETCH_WINDOW_SECONDS = 3, 30
DOCUMENT_BYTES = 256 * 1024
TOKEN_CHARS = 16_384
# By key type (RFC 7518 §6.1, RFC 8037). Symmetric algorithms are missing, so that no public key is used as a secret.
ALGORITHMS = {"RSA": ("RS256", "RS384", "RS512", "PS256"), "EC": ("ES256", "ES384", "ES512"), "OKP": ("EdDSA",)}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A user's identity at a provider. `email` is '' if the token has none."""

    provider: str
    subject: str
    email: str
    email_verified: bool
    first_name: str = ""
    last_name: str = ""


def verify(provider: str, id_token: str, *, nonce: str = "") -> Identity:
    """Return the identity in an ID token.

    Raises: NotFound (404) for a provider that is not offered, InvalidIdToken (401), ProviderUnavailable (503).
    """
    chosen = settings.SOCIAL.get(provider)
    if chosen is None or provider not in settings.SOCIAL_PROVIDERS:
        raise NotFound
    try:
        claims = _claims(chosen, id_token)
        _check_nonce(claims, nonce)
        return _identity(provider, claims)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError, OverflowError, AttributeError) as error:
        log.info("social.token_refused", provider=provider, reason=type(error).__name__)
        raise InvalidIdToken from None


def _claims(chosen: dict[str, Any], id_token: str) -> dict[str, Any]:
    if len(id_token) > TOKEN_CHARS:
        raise ValueError
    header = jwt.get_unverified_header(id_token)
    if "crit" in header:  # RFC 7515 §4.1.11
        raise ValueError
    if not any(header["alg"] in names for names in ALGORITHMS.values()):
        raise jwt.InvalidAlgorithmError
    key = _keys_of(chosen["issuer"]).get(header.get("kid"))
    if header["alg"] not in ALGORITHMS.get(key.key_type or "", ()):
        raise jwt.InvalidAlgorithmError
    claims: dict[str, Any] = jwt.decode(
        id_token,
        key.key,
        algorithms=[header["alg"]],
        audience=chosen["client_ids"],
        leeway=settings.JWT_LEEWAY,
        options={"require": ["iss", "sub", "aud", "exp", "iat"], "verify_iat": True},
    )
    if claims["iss"] not in chosen["issuers"]:
        raise jwt.InvalidIssuerError
    if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") not in chosen["client_ids"]:
        raise jwt.InvalidAudienceError
    return claims


def _check_nonce(claims: dict[str, Any], nonce: str) -> None:
    """Compare the nonce, literally or as its SHA-256, which Apple's and Firebase's examples send.

    A token with a nonce is accepted only together with it: without, the token may be somebody else's.
    """
    said = claims.get("nonce")
    if said is None and not nonce:
        return
    hashed = hashlib.sha256(nonce.encode("utf-8", "surrogatepass")).hexdigest()
    if not isinstance(said, str) or not (constant_time_compare(said, nonce) or constant_time_compare(said, hashed)):
        raise ValueError


def _identity(provider: str, claims: dict[str, Any]) -> Identity:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or "\0" in subject:
        raise ValueError
    subject.encode()  # a lone surrogate, which no column can store, raises ValueError
    email = claims.get("email")
    return Identity(
        provider=provider,
        subject=subject,
        email=email if isinstance(email, str) else "",
        email_verified=claims.get("email_verified") in (True, "true"),  # Apple writes a string
        first_name=_text(claims.get("given_name")),
        last_name=_text(claims.get("family_name")),
    )


def _text(value: Any) -> str:
    return "".join(char for char in value if char.isprintable())[:150].strip() if isinstance(value, str) else ""


# --- Keys -------------------------------------------------------------------------------------------------------------


@dataclass
class _Provider:
    """Cached keys and discovery document of one issuer. One thread at a time fetches; the others wait with a limit."""

    issuer: str
    keys: dict[str | None, jwt.PyJWK] = field(default_factory=dict)
    fetched_at: float = 0.0
    failed_at: float = -1e9
    fetches: list[float] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, kid: Any) -> jwt.PyJWK:
        """Return the key of a token. Raises ProviderUnavailable, InvalidKeyError for a `kid` that it does not have."""
        if kid is not None and not isinstance(kid, str):
            raise jwt.InvalidKeyError
        known = self._known(kid)
        if known is None or time.monotonic() - self.fetched_at > KEEP_SECONDS:
            self._refresh(kid, needed=known is None)
            known = self._known(kid)
        if known is None:
            raise jwt.InvalidKeyError
        return known

    def _known(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None:  # allowed where there is one key only (Core §10.1)
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(kid)

    def _refresh(self, kid: str | None, *, needed: bool) -> None:
        if not self.lock.acquire(timeout=TIMEOUT_SECONDS if needed else 0):
            if needed:
                raise ProviderUnavailable
            return
        try:
            if self._known(kid) is not None and time.monotonic() - self.fetched_at <= KEEP_SECONDS:
                return  # another thread fetched it while we waited
            now = time.monotonic()
            if now - self.failed_at < AWAY_SECONDS:
                if needed:
                    raise ProviderUnavailable
                return
            self.fetches = [at for at in self.fetches if now - at < REFETCH_WINDOW_SECONDS]
            if self.keys and len(self.fetches) >= REFETCHES:
                return
            self.fetches.append(now)
            if not self._fetch() and needed:
                raise ProviderUnavailable
        finally:
            self.lock.release()

    def _fetch(self) -> bool:
        """Return whether the provider answered."""
        try:
            deadline = time.monotonic() + TIMEOUT_SECONDS
            document = get_json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", deadline=deadline)
            if document.get("issuer") != self.issuer:
                raise ValueError
            self.keys = _parsed(get_json(document["jwks_uri"], deadline=deadline))
            self.document, self.fetched_at = document, time.monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("social.provider_away", issuer=self.issuer, error=type(error).__name__)
            self.failed_at = time.monotonic()
            return False
        return True

    def endpoint(self, name: str) -> str:
        """Return a URL of the discovery document. Raises ProviderUnavailable."""
        if not self.document:
            self._refresh(None, needed=True)
        address = self.document.get(name)
        if not isinstance(address, str):
            raise ProviderUnavailable
        require_safe(address)
        return address


def _parsed(document: dict[str, Any]) -> dict[str | None, jwt.PyJWK]:
    """Return the keys that are for signatures and of a type that we accept."""
    found: dict[str | None, jwt.PyJWK] = {}
    for one in document["keys"]:
        try:
            if one.get("kty") in ALGORITHMS and one.get("use", "sig") == "sig":
                found[one.get("kid")] = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue
    return found


def require_safe(url: str) -> None:
    """Raise ValueError unless the URL is `https://`, or `http://` on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme != "http" or parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("not https")


def get_json(url: str, *, deadline: float) -> dict[str, Any]:
    """Read a small JSON object before `deadline` (monotonic). Raises httpx.HTTPError, ValueError."""
    require_safe(url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpx.ReadTimeout("late")
    body = b""
    with httpx.stream("GET", url, timeout=left, headers={"Accept-Encoding": "identity"}) as response:
        if response.status_code != 200:
            raise httpx.HTTPStatusError("status", request=response.request, response=response)
        for chunk in response.iter_raw(4096):
            body += chunk
            if len(body) > DOCUMENT_BYTES:
                raise ValueError("too large")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("late")
    document = json.loads(body)
    if not isinstance(document, dict):
        raise ValueError("no object")
    return document


_providers: dict[str, _Provider] = {}
_providers_lock = threading.Lock()


def _keys_of(issuer: str) -> _Provider:
    with _providers_lock:
        return _providers.setdefault(issuer, _Provider(issuer))


def endpoint(provider: str, name: str) -> str:
    """Return an endpoint of a provider that is offered. Raises ProviderUnavailable."""
    try:
        return _keys_of(settings.SOCIAL[provider]["issuer"]).endpoint(name)
    except (KeyError, ValueError):
        raise ProviderUnavailable from None


def forget() -> None:
    """Clear every issuer's cache (for tests that change keys)."""
    _providers.clear()
