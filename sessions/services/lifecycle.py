"""Start and end of sessions: the only place that creates or revokes them. Tokens are issued in `issuing.py`, rotated
in `rotation.py`, and checked against the session in `validity.py`.

Lock order: the user's row, then session rows by id. Ending a session locks its row, adds its token to simplejwt's
blacklist and sends `session_revoked` after commit.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from common import pipelined, rows, shared_clock
from common.client import FINGERPRINT_CHARS, Client
from common.errors import NoActiveAccount, NotFound, TokenNotValid
from common.signals import security_event, session_revoked, sessions_ending
from sessions import hot_sql
from sessions.models import UserSession
from sessions.places import devices, location
from sessions.push import registrations
from sessions.services import assurance, issuing, validity
from sessions.tokens import codec
from sessions.tokens.codec import TokenPair

log = structlog.get_logger(__name__)

DEVICE_NAME_CHARS = 100
KNOWN_DEVICES = 200  # how many of the user's living, and ended, sessions decide whether a device is new
# Reasons that the security timeline shows as `session_revoked`; the others have an event of their own kind, or none.
TOLD = {"revoked", "logout_all", "admin"}


@dataclass(frozen=True, kw_only=True)
class Started:
    user_session: UserSession
    tokens: TokenPair


@dataclass(frozen=True, kw_only=True)
class Starting:
    """A session whose INSERT is sent. Its row id is known after the commit."""

    user_session: UserSession
    refresh: str
    at: datetime
    settle: Callable[[], None]

    def started(self) -> Started:
        """Return the session, once it is committed."""
        self.settle()
        tokens = issuing.pair_of(self.user_session, self.refresh, at=self.at)
        return Started(user_session=self.user_session, tokens=tokens)


def start(
    *,
    user: Any,
    client: Client,
    device_fingerprint: str = "",
    device_name: str = "",
    remember_me: bool = False,
    amr: Iterable[str] = (assurance.PASSWORD,),
) -> Started:
    """Start a session in a transaction of its own. Raises: NoActiveAccount, as `start_here`."""
    return start_with(
        lambda: start_here(
            user=user,
            client=client,
            device_fingerprint=device_fingerprint,
            device_name=device_name,
            remember_me=remember_me,
            amr=amr,
        )
    )


def start_with(write: Callable[[], Starting]) -> Started:
    """Run `write`, which returns what `start_here` returns, in one transaction, and return the session it has started.

    On PostgreSQL its statements take two round trips: what is read, and what is written together with the commit.

    Logins wait for each other on the user's row, but another session may take on the same fingerprint at this moment
    (`devices.compare_fingerprint`). Then the unique constraint fails, and all is done again: that session is replaced.
    """
    for attempt in (1, 2, 3):
        try:
            with pipelined.one_trip(), transaction.atomic():
                starting = write()
            return starting.started()
        except IntegrityError:
            if attempt == 3:
                raise
    raise AssertionError("unreachable")


def start_here(
    *,
    user: Any,
    client: Client,
    device_fingerprint: str = "",
    device_name: str = "",
    remember_me: bool = False,
    amr: Iterable[str] = (assurance.PASSWORD,),
) -> Starting:
    """Start a session for a user who has just authenticated by `amr`, in the transaction of `start_with`.

    Locks the user's row, so that a password reset in between ends this login too. Replaces the device's earlier
    session; for a device not seen before it sends `security_event("new_device")`.

    Raises: NoActiveAccount (401) if the user was disabled or the password has changed since `user` was read.
    """
    now = shared_clock.now()
    fingerprint = (device_fingerprint or client.device_fingerprint)[:FINGERPRINT_CHARS]
    person, known_devices, same_device = hot_sql.ask_before_start(
        user_id=user.pk, fingerprint=fingerprint, known_devices=KNOWN_DEVICES
    )
    _require_unchanged(user, person())
    described = devices.client_of(client.user_agent)
    known = known_devices()
    is_new_device = bool(known) and (fingerprint or described) not in known  # the first device of all is no news
    idle, absolute = issuing.lifetimes(remember_me=remember_me)
    user_session = UserSession(
        user=user,
        session_token=uuid.uuid4(),
        device_fingerprint=fingerprint,
        device_name=device_name[:DEVICE_NAME_CHARS],
        ip_address=client.ip_address,
        user_agent=client.user_agent,
        client=described,
        location=location.lookup(client.ip_address),
        remember_me=remember_me,
        authenticated_at=now,
        amr=assurance.ordered(amr),
        created_at=now,
        last_seen_at=now,
        idle_expires_at=now + idle,
        absolute_expires_at=now + absolute,
        expires_at=min(now + idle, now + absolute),
        generation=1,
        minimum_generation=1,
        successor_used=True,  # it has no parent token that could be presented again
    )
    refresh = issuing.mint_refresh(user_session, gen=1, at=now, ends_at=user_session.expires_at)
    for name, value in issuing.refresh_fields(refresh).items():
        setattr(user_session, name, value)
    _end(same_device(), reason="replaced", at=now)
    settle = rows.insert(user_session)
    if is_new_device:
        tell_event("new_device", user_session=user_session, client=client, at=now)
    return Starting(user_session=user_session, refresh=refresh.token, at=now, settle=settle)


def _require_unchanged(user: Any, now_there: Any | None) -> None:
    """Refuse if the password or the account's state has changed since authentication; `now_there`: the locked row."""
    if now_there is None or not now_there.is_active or now_there.password != user.password:
        raise NoActiveAccount
    if getattr(now_there, "password_changed_at", None) != getattr(user, "password_changed_at", None):
        raise NoActiveAccount


def lock_person(user_id: int) -> None:
    """Lock the user's row, always before a session's row: ending a session may also write the user's row.

    A login in another transaction has either committed its session already or will wait for the lock.
    """
    get_user_model().objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk").first()


def hold(*, user_id: int, sid: uuid.UUID | None) -> None:
    """Lock the user's row and require that the session still lives, in the transaction of what it has asked for.

    A request was authenticated before it began to work. Without this, one that a thief sent just before the owner ended
    the session would still write after it.

    Raises: TokenNotValid("session_revoked").
    """
    lock_person(user_id)
    if sid is not None and not living_of(user_id).filter(session_token=sid).exists():
        raise TokenNotValid("session_revoked")


def revoke(*, user_id: int, sid: uuid.UUID, reason: str = "revoked", client: Client | None = None) -> bool:
    """End one session of this user; return whether it was still living.

    Raises: NotFound (404) for a session that the user does not have, also if it is somebody else's.
    """
    now = shared_clock.now()
    with transaction.atomic():
        lock_person(user_id)
        user_session = UserSession.objects.select_for_update().filter(user_id=user_id, session_token=sid).first()
        if user_session is None:
            raise NotFound
        ended = _end([user_session], reason=reason, at=now)
        if ended and reason in TOLD:
            tell_event("session_revoked", user_session=user_session, client=client, at=now, reason=reason)
        sessions_ending.send(sender=UserSession, user_id=user_id, reason=reason, everywhere=False)
    return bool(ended)


def revoke_all(
    *, user_id: int, except_sid: uuid.UUID | None = None, reason: str = "revoked", client: Client | None = None
) -> int:
    """End every session of this user except `except_sid`; return how many were living."""
    now = shared_clock.now()
    with transaction.atomic():
        lock_person(user_id)
        active = UserSession.objects.select_for_update().filter(user_id=user_id, is_active=True).order_by("pk")
        if except_sid is not None:
            active = active.exclude(session_token=except_sid)
        ended = _end(list(active), reason=reason, at=now)
        if ended and reason in TOLD:
            tell_event("session_revoked", user_id=user_id, client=client, at=now, reason=reason, sessions=len(ended))
        sessions_ending.send(sender=UserSession, user_id=user_id, reason=reason, everywhere=True)
    return len(ended)


def _end(user_sessions: list[UserSession], *, reason: str, at: datetime) -> list[UserSession]:
    """End locked sessions of one user; return those that were living. One that expired before keeps that reason."""
    for user_session in user_sessions:
        if user_session.is_active and not user_session.is_living(at=at):
            validity.note_expiry(user_session, at=at)
    ended = [user_session for user_session in user_sessions if user_session.is_living(at=at)]
    if not ended:
        return []
    hot_sql.end([user_session.pk for user_session in ended], reason=reason, at=at)
    registrations.end([user_session.pk for user_session in ended])
    for user_session in ended:
        user_session.is_active, user_session.ended_at, user_session.end_reason = False, at, reason
    user_id = ended[0].user_id
    hot_sql.blacklist(user_id=user_id, tokens=[(one.current_jti, one.expires_at) for one in ended], at=at)
    _tell_revoked(user_id=user_id, sids=[one.session_token for one in ended], reason=reason)
    return ended


def _tell_revoked(*, user_id: int, sids: list[uuid.UUID], reason: str) -> None:
    """Send `session_revoked` after commit; a receiver that fails does not keep the others from running."""

    def send() -> None:
        log.info("session.revoked", user_id=user_id, sids=[str(sid) for sid in sids], reason=reason)
        for receiver, answer in session_revoked.send_robust(
            sender=UserSession, sids=sids, user_id=user_id, reason=reason
        ):
            if isinstance(answer, Exception):
                log.error("session.revoked_receiver_failed", receiver=str(receiver), exc_info=answer)

    transaction.on_commit(send, robust=True)


def end_reused(user_session: UserSession, *, client: Client, gen: int, at: datetime) -> None:
    """End a locked session because an older refresh token was reused, and send the `refresh_reused` event.

    A receiver that fails must not undo the revocation: it runs in a savepoint of its own.
    """
    _end([user_session], reason="token_reused", at=at)
    sessions_ending.send(sender=UserSession, user_id=user_session.user_id, reason="token_reused", everywhere=False)
    try:
        with transaction.atomic():
            tell_event(
                "refresh_reused", user_session=user_session, client=client, at=at, age=user_session.generation - gen
            )
    except Exception:
        log.exception("session.reuse_event_failed", sid=str(user_session.session_token))


def tell_event(
    kind: str,
    *,
    at: datetime,
    client: Client | None,
    user_session: UserSession | None = None,
    user_id: int | None = None,
    **detail: Any,
) -> None:
    """Send `security_event` in the caller's transaction, so that the event is stored with what it reports."""
    security_event.send(
        sender=UserSession,
        user_id=user_session.user_id if user_session else user_id,
        kind=kind,
        at=at,
        client=client,
        session_id=user_session.session_token if user_session else None,
        detail=detail,
    )


def reissue(*, user_session: UserSession) -> TokenPair:
    """Return a new pair after a password change and invalidate every older token of the session, without grace.

    Raises: TokenNotValid("session_revoked") where the session ended meanwhile.
    """
    now = shared_clock.now()
    with transaction.atomic():
        here = UserSession.objects.select_for_update().filter(pk=user_session.pk).first()
        if here is None or not here.is_living(at=now):
            raise TokenNotValid("session_revoked")
        retired = (here.current_jti, here.expires_at)
        idle, _ = issuing.lifetimes(remember_me=here.remember_me)
        here.generation += 1
        here.minimum_generation = here.generation
        here.previous_jti, here.rotated_at, here.successor_used = "", now, True
        here.idle_expires_at = now + idle
        here.expires_at = min(here.idle_expires_at, here.absolute_expires_at)
        here.last_seen_at = now
        refresh = issuing.mint_refresh(here, gen=here.generation, at=now, ends_at=here.expires_at)
        for name, value in issuing.refresh_fields(refresh).items():
            setattr(here, name, value)
        here.save()
        hot_sql.blacklist(user_id=here.user_id, tokens=[retired], at=now)
    return issuing.pair_of(here, refresh.token, at=now)


def pair_once_more(*, user_session: UserSession) -> TokenPair:
    """Return the current pair for a password change whose response was lost: the refresh token is the same.

    Raises: TokenNotValid if the session has ended or its key was removed from the ring.
    """
    now = shared_clock.now()
    if not user_session.is_living(at=now):
        raise TokenNotValid("session_revoked")
    refresh = codec.sign_again(
        claims=user_session.refresh_claims, kid=user_session.signing_kid, algorithm=user_session.signing_algorithm
    )
    return issuing.pair_of(user_session, refresh, at=now)


def rename(*, user_id: int, sid: uuid.UUID, device_name: str) -> UserSession:
    """Name a device. Raises: NotFound (404) for a session that the user does not have or that has ended."""
    now = shared_clock.now()
    own = UserSession.objects.filter(user_id=user_id, session_token=sid, is_active=True, expires_at__gt=now)
    if not own.update(device_name=device_name):
        raise NotFound
    return own.get()


def living_of(user_id: int) -> Any:
    """Return the user's living sessions."""
    return UserSession.objects.filter(user_id=user_id, is_active=True, expires_at__gt=shared_clock.now())


def newest_of(user_id: int, *, limit: int) -> list[UserSession]:
    """Return the first of `living_of` by newest activity, without the ORM's price."""
    return hot_sql.newest(user_id=user_id, at=shared_clock.now(), limit=limit)


def logout(*, presented: list[str | bytes], client: Client) -> None:
    """End the session of each valid token, access or refresh, expired or not.

    Tokens of two sessions end both: their holder could end them one by one anyway. An invalid token, one whose session
    has ended, and one that a password change has invalidated end nothing; the response is the same.
    """
    for raw in presented:
        try:
            claims = codec.parse(raw)
        except TokenNotValid:
            continue
        user_session = UserSession.objects.filter(user_id=claims.user_id, session_token=claims.sid).first()
        if user_session is not None and claims.gen >= user_session.minimum_generation:
            revoke(user_id=claims.user_id, sid=claims.sid, reason="logout", client=client)
