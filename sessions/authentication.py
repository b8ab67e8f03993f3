"""Access token authentication: one function for HTTP and WebSocket, with one joined query."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from common import shared_clock
from common.client import FINGERPRINT_CHARS, clean
from common.errors import TokenNotValid
from sessions import hot_sql
from sessions.models import UserSession
from sessions.places import devices
from sessions.services import assurance, validity
from sessions.tokens import codec
from sessions.tokens.codec import Claims

LAST_SEEN_INTERVAL = timedelta(minutes=1)
FIELDS = (
    "id",
    "session_token",
    "user_id",
    "is_active",
    "end_reason",
    "expires_at",
    "generation",
    "minimum_generation",
    "successor_used",
    "last_seen_at",
    "device_fingerprint",
    "created_at",
    "authenticated_at",
    "amr",
)
DECIDING = ("id", "is_active")  # of the user


@dataclass(frozen=True, kw_only=True)
class Authenticated:
    """The user and session that an access token belongs to. As `request.auth` it has `["sid"]` like simplejwt's."""

    user: Any
    user_id: int
    sid: uuid.UUID
    session_id: int
    gen: int
    token_expires_at: datetime
    device_fingerprint: str = ""
    superseded: bool = False  # issued before a password change; valid only for repeating that request
    auth_time: datetime | None = None
    amr: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


def authenticate(raw: str | bytes, *, allow_superseded: bool = False) -> Authenticated:
    """Return the user and session of the access token `raw`. One query; writes at most once a minute and a rotation.

    Blocks on the database: a socket calls it on a database thread.

    Raises: TokenNotValid (401; close code by its reason).
    """
    return _authenticate(codec.parse(raw), allow_superseded=allow_superseded)


def check(claims: Claims) -> None:
    """Require what `authenticate` does of the access token with these claims. Of the user only what decides is read.

    Raises: TokenNotValid (401).
    """
    _authenticate(claims, person=DECIDING)


def _authenticate(claims: Claims, *, person: Sequence[str] = (), allow_superseded: bool = False) -> Authenticated:
    now = shared_clock.now()
    user, user_session = hot_sql.load(user_id=claims.user_id, sid=claims.sid, names=FIELDS, person=person)
    known, user_session = _decided(claims, user, user_session, at=now, allow_superseded=allow_superseded)
    if not known.superseded:
        _notice(user_session, claims, at=now)
    return known


def claimed(raw: str | bytes) -> Claims | TokenNotValid:
    """Return what a token claims, as the first step of `decide_all`."""
    try:
        return codec.parse(raw)
    except TokenNotValid as error:
        return error.with_traceback(None)  # its frames would hold the caller's list, which holds it


def decide_all(
    claimed: Sequence[Claims | TokenNotValid],
    people: Mapping[int, Any],
    user_sessions: Mapping[uuid.UUID, UserSession],
) -> list[Authenticated | TokenNotValid]:
    """Return for each what `authenticate` would, decided by what `hot_sql.ask_many` has just read."""
    now = shared_clock.now()
    answers: list[Authenticated | TokenNotValid] = []
    seen = []
    for claims in claimed:
        if isinstance(claims, TokenNotValid):
            answers.append(claims)
            continue
        try:
            known, user_session = _decided(claims, people.get(claims.user_id), user_sessions.get(claims.sid), at=now)
        except TokenNotValid as error:
            answers.append(error.with_traceback(None))
        else:
            answers.append(known)
            seen.append((user_session, claims))
    _notice_all(seen, at=now)
    return answers


def _decided(
    claims: Claims, user: Any | None, user_session: UserSession | None, *, at: datetime, allow_superseded: bool = False
) -> tuple[Authenticated, UserSession]:
    """Raises: TokenNotValid."""
    user_session = validity.require(user, user_session, claims, at=at)
    if claims.token_type != codec.ACCESS:
        raise TokenNotValid("wrong_type")
    if claims.is_expired(at=at):
        raise TokenNotValid("expired")
    if claims.gen > user_session.generation:
        raise TokenNotValid("invalid")
    superseded = claims.gen < user_session.minimum_generation
    if superseded and not allow_superseded:
        # Issued before a password change. The device may have the new pair already, so it is not told to log in again.
        raise TokenNotValid("expired")
    known = Authenticated(
        user=user,
        user_id=claims.user_id,
        sid=claims.sid,
        session_id=user_session.pk,
        gen=claims.gen,
        token_expires_at=claims.expires_at,
        device_fingerprint=user_session.device_fingerprint,
        superseded=superseded,
        auth_time=assurance.proved_at(user_session),
        amr=tuple(assurance.methods(user_session)),
    )
    return known, user_session


def _notice(user_session: UserSession, claims: Claims, *, at: datetime) -> None:
    """Record that the client has its newest pair (once a rotation) and when it was last seen (once a minute)."""
    if _has_arrived(user_session, claims):
        # Conditional: after a rotation in between this token is of an older pair and says nothing about the newest.
        here = UserSession.objects.filter(pk=user_session.pk, generation=claims.gen)
        here.update(successor_used=True, last_seen_at=at)
    elif _is_due(user_session, at):
        UserSession.objects.filter(pk=user_session.pk, last_seen_at__lt=at).update(last_seen_at=at)


def _has_arrived(user_session: UserSession, claims: Claims) -> bool:
    return claims.gen == user_session.generation and not user_session.successor_used


def _is_due(user_session: UserSession, at: datetime) -> bool:
    return at - user_session.last_seen_at >= LAST_SEEN_INTERVAL


def _notice_all(seen: Sequence[tuple[UserSession, Claims]], *, at: datetime) -> None:
    """Write the same for many, in one statement; what somebody else has locked at this moment, one by one."""
    news = [one for one in seen if _has_arrived(*one) or _is_due(one[0], at)]
    written: set[int] = set()
    if len(news) > 1:
        written = hot_sql.note_seen([(one.pk, claims.gen, _has_arrived(one, claims)) for one, claims in news], at=at)
    for user_session, claims in news:
        if user_session.pk not in written:
            _notice(user_session, claims, at=at)


def current_sid(request: HttpRequest | Request) -> uuid.UUID | None:
    """Return the session of the request's token; None for a request authenticated without one."""
    auth = getattr(request, "auth", None)
    return auth.sid if isinstance(auth, Authenticated) else None


class SessionJWTAuthentication(JWTAuthentication):
    """simplejwt's authentication plus the session check: a token without a living session is refused with 401.

    Tokens minted by simplejwt itself have no session and are refused too. A view with `takes_superseded_tokens` (the
    password change, whose response may be lost) also accepts tokens from before the change, marked `superseded`.
    """

    def authenticate(self, request: Request) -> tuple[Any, Authenticated] | None:  # type: ignore[override]
        raw = bearer(request)
        if raw is None:
            return None
        view = (getattr(request, "parser_context", None) or {}).get("view")
        authenticated = authenticate(raw, allow_superseded=getattr(view, "takes_superseded_tokens", False))
        devices.compare_fingerprint(
            clean(request.META.get("HTTP_DEVICE_FINGERPRINT", ""))[:FINGERPRINT_CHARS],
            session_id=authenticated.session_id,
            sid=authenticated.sid,
            recorded=authenticated.device_fingerprint,
        )
        return authenticated.user, authenticated


def bearer(request: HttpRequest | Request) -> bytes | None:
    """Return the token of `Authorization: Bearer …`, None without that header or with another scheme.

    Raises: TokenNotValid("invalid") if Bearer is followed by nothing or by several words.
    """
    header = request.META.get("HTTP_AUTHORIZATION", "").encode("utf-8", "replace").split()
    if not header or header[0].lower() != b"bearer":  # RFC 9110 §11.1: the scheme is case-insensitive
        return None
    if len(header) != 2:
        raise TokenNotValid("invalid")
    return header[1]
