"""Minting and parsing of tokens. A token only makes claims; the session's row decides whether it is valid.

Claims, in this order: `token_type, exp, iat, jti, user_id (a string), sid, gen`, in an access token `auth_time` and
`amr`, then `iss` and `aud` where configured.
They are signed as text, and the refresh token's text is stored in the row, so that a retry gets the same bytes.
"""

import re
import uuid
from binascii import a2b_base64, b2a_base64
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings

from common import json, shared_clock
from common.errors import TokenNotValid
from sessions.tokens import keys

ACCESS, REFRESH = "access", "refresh"
_NUMBER_MAX = 1 << 37  # as a time: the year 6325, which a datetime can represent
TOKEN_CHARS = 8_192  # ours are below 600; longer ones are not decoded
_FROM_URL, _TO_URL = bytes.maketrans(b"-_", b"+/"), bytes.maketrans(b"+/", b"-_")
_JTI = re.compile(r"[0-9a-f]{32}")
_SID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_USER_ID = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, kw_only=True)
class Claims:
    """The claims of a token with a valid signature. `exp` and `iat` in seconds since 1970."""

    token_type: str
    exp: int
    iat: int
    jti: str
    user_id: int
    sid: uuid.UUID
    gen: int

    def is_expired(self, *, at: datetime) -> bool:
        """Return whether it has expired, with `JWT_LEEWAY` seconds of tolerance for differing clocks."""
        return at.timestamp() >= self.exp + settings.JWT_LEEWAY

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)


@dataclass(frozen=True, kw_only=True)
class TokenPair:
    access: str
    refresh: str
    access_expires_in: int
    refresh_expires_in: int


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A token with the claims and the key that it was signed from."""

    token: str
    jti: str
    exp: int
    claims: str
    kid: str
    algorithm: str


def mint(
    *, token_type: str, user_id: int, sid: uuid.UUID, gen: int, at: datetime, ends_at: datetime, **further: Any
) -> Signed:
    """Sign a new token with the first key. `exp` is `ends_at` rounded down, never after the session's end."""
    jti = uuid.uuid4().hex
    exp = int(ends_at.timestamp())
    claims: dict[str, Any] = {
        "token_type": token_type,
        "exp": exp,
        "iat": int(at.timestamp()),
        "jti": jti,
        "user_id": str(user_id),
        "sid": str(sid),
        "gen": gen,
        **further,
    }
    if settings.JWT_ISSUER:
        claims["iss"] = settings.JWT_ISSUER
    if settings.JWT_AUDIENCE:
        claims["aud"] = settings.JWT_AUDIENCE
    text = json.dumps(claims)
    key = keys.ring().signer
    return Signed(token=key.sign(text), jti=jti, exp=exp, claims=text.decode(), kid=key.kid, algorithm=key.algorithm)


def mint_access(
    *,
    user_id: int,
    sid: uuid.UUID,
    gen: int,
    at: datetime,
    session_ends_at: datetime,
    auth_time: datetime,
    amr: list[str],
) -> Signed:
    """Sign an access token. `auth_time`, `amr`: the last authentication of the user (`sessions.services.assurance`)."""
    ends_at = min(at + timedelta(seconds=settings.ACCESS_TOKEN_LIFETIME), session_ends_at)
    proof = {"auth_time": int(auth_time.timestamp()), "amr": amr}
    return mint(token_type=ACCESS, user_id=user_id, sid=sid, gen=gen, at=at, ends_at=ends_at, **proof)


def sign_again(*, claims: str, kid: str, algorithm: str) -> str:
    """Return the same token for the same claims. Raises TokenNotValid if its key was removed from the ring."""
    key = keys.ring(kid=kid).keys.get(kid)
    if key is None or key.signing is None or key.algorithm != algorithm:
        raise TokenNotValid("invalid", refresh_token=True)
    return key.sign(claims.encode())


def parse(raw: str | bytes) -> Claims:
    """Return the claims of a token signed by one of our keys; expiry and session are not checked here.

    The algorithm is the key's; the token's `alg`, `jku`, `jwk` and `x5u` are ignored (RFC 8725 §3.1, §3.10).

    Raises: TokenNotValid("invalid") for every fault alike: details would only help a forger.
    """
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return _parse(raw)
    raise TokenNotValid("invalid")  # outside of the handler: as its context the first error would hold every frame


def _parse(raw: str | bytes) -> Claims:
    if isinstance(raw, str):
        raw = raw.encode("ascii")  # UnicodeEncodeError is a ValueError
    if len(raw) > TOKEN_CHARS:
        raise ValueError
    signed, _, signature = raw.rpartition(b".")
    header, _, body = signed.partition(b".")
    kid, algorithm = _header(header)
    key = keys.ring(kid=kid).keys[kid]
    if algorithm != key.algorithm or not key.verify(signed, _decoded(signature)):
        raise ValueError
    return _claims(json.loads(_decoded(body)))


def _decoded(segment: bytes) -> bytes:
    """Decode base64url as we write it: no padding, no other letters, no bits that decoding drops.

    Otherwise one token would have several spellings (RFC 7515 §2, RFC 4648 §3.5). Raises: ValueError.
    """
    data = a2b_base64(segment.translate(_FROM_URL) + b"===")
    if b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL) != segment:
        raise ValueError
    return data


@lru_cache(maxsize=64)
def _header(segment: bytes) -> tuple[str, str]:
    """Return the `kid` and `alg` of a header. Few headers ever occur, so that they are read once."""
    header = json.loads(_decoded(segment))
    if "crit" in header:  # RFC 7515 §4.1.11: we understand no extension, hence must refuse
        raise ValueError
    if header.get("b64") is False:  # RFC 7797 §3: only together with `crit`
        raise ValueError
    kid, algorithm = header["kid"], header["alg"]
    if type(kid) is not str or type(algorithm) is not str:
        raise TypeError
    return kid, algorithm


def _claims(claims: Any) -> Claims:
    """Return the claims if each has exactly the type that we write. Raises ValueError, TypeError or KeyError."""
    if type(claims) is not dict:
        raise TypeError
    for name in ("exp", "iat", "gen"):
        if type(claims[name]) is not int or not 0 <= claims[name] < _NUMBER_MAX:
            raise ValueError
    for name, pattern in (("jti", _JTI), ("user_id", _USER_ID), ("sid", _SID)):
        if type(claims[name]) is not str or not pattern.fullmatch(claims[name]):
            raise ValueError
    user_id = int(claims["user_id"])
    if claims["token_type"] not in (ACCESS, REFRESH) or user_id >= 1 << 63:
        raise ValueError
    earliest = shared_clock.now().timestamp() + settings.JWT_LEEWAY
    # `iat` is not checked: the counter orders tokens, and a server whose clock was ahead must not sign anybody out.
    if "nbf" in claims and not claims["nbf"] <= earliest:
        raise ValueError
    if settings.JWT_ISSUER and claims["iss"] != settings.JWT_ISSUER:
        raise ValueError
    if settings.JWT_AUDIENCE:
        audience = claims["aud"]
        if settings.JWT_AUDIENCE not in (audience if isinstance(audience, list) else [audience]):
            raise ValueError
    return Claims(
        token_type=claims["token_type"],
        exp=claims["exp"],
        iat=claims["iat"],
        jti=claims["jti"],
        user_id=user_id,
        sid=uuid.UUID(claims["sid"]),
        gen=claims["gen"],
    )
