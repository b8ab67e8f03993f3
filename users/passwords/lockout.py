"""Account lockout: five failed passwords lock an account for half an hour, also if they arrive in parallel.

An attempt is *reserved* by one conditional UPDATE before it is hashed, and counts as a failure until the password is
found correct: reading, hashing and then writing would let every parallel guess through. Unknown names are counted in
the same way, by an HMAC, so that neither a response nor the table distinguishes them from known ones. A user's name and
address share a counter; a remembered device (`device_tokens`) has its own, so that a stranger cannot lock it out.

Source: OWASP Authentication Cheat Sheet, account lockout; ASVS 5.0 6.1.1 and 6.3.1; section "Verrouillage de Compte".
"""

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Subquery
from django.db.models.functions import Coalesce
from django.utils.crypto import salted_hmac

from common import pipelined, rows, shared_clock
from common.client import Client
from common.errors import AccountLocked
from common.json import isoformat
from common.metrics import LOCKOUTS, SIGN_IN_FAILURES
from common.signals import security_event
from users import security_events
from users.mail import enqueue
from users.models import LoginCounter, User

log = structlog.get_logger(__name__)

# Wait for attempts that are still being checked, so that five correct ones at once do not refuse the sixth.
WAIT_STEP_SECONDS = 0.02
WAIT_STEPS = 100
# An attempt reserved this long ago was lost with its process; it stays counted.
CHECK_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Counter:
    """The counter that an attempt counts against. `user_id` is set if User mirrors it."""

    key: str
    user_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A reserved attempt. `locked_until` is set on the attempt that locks the account if it fails."""

    counter: Counter
    failures: int
    at: datetime
    locked_until: datetime | None


def counter_of_user(user_id: int) -> Counter:
    return Counter(key=_digest(f"user:{user_id}"), user_id=user_id)


def counter_of_name(name: str) -> Counter:
    """Return the counter of an unknown identifier; `name`: its canonical spelling."""
    return Counter(key=_digest(f"name:{name}"))


def counter_of_session(sid: uuid.UUID) -> Counter:
    """Return the counter for passwords that a signed-in user is asked for, unaffected by strangers' guesses."""
    return Counter(key=_digest(f"session:{sid}"))


def counter_of_device(device_id: uuid.UUID) -> Counter:
    return Counter(key=_digest(f"device:{device_id}"))


def _digest(identity: str) -> str:
    return salted_hmac("users.lockout", identity, algorithm="sha256").hexdigest()


def reserve(counter: Counter) -> Guess:
    """Count one failure before the password is checked, in a statement of its own.

    Raises: AccountLocked (`account_locked`), which costs only a read and does not prolong the lockout.
    """
    for _step in range(WAIT_STEPS):
        now = shared_clock.now()
        guess = _reserve(counter, now)
        if guess is not None:
            return guess
        row = LoginCounter.objects.filter(key=counter.key).first()
        if row is None or row.locked_until is None:
            continue  # a correct password has just cleared it
        if row.locked_until > now + _lasting():
            _bring_nearer(counter, now)
            continue
        if row.settled >= row.failures or row.locked_until < now + _lasting() - timedelta(seconds=CHECK_SECONDS):
            break
        time.sleep(WAIT_STEP_SECONDS)
    SIGN_IN_FAILURES.labels("account_locked").inc()
    until = row.locked_until if row and row.locked_until else shared_clock.now() + timedelta(seconds=1)
    raise AccountLocked(locked_until=until, retry_after=(until - shared_clock.now()).total_seconds())


_RESERVE = """
INSERT INTO users_logincounter AS counter (key, failures, settled, last_failed_at, locked_until)
VALUES (%(key)s, 1, 0, %(now)s, CASE WHEN %(limit)s <= 1 THEN %(until)s END)
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN counter.last_failed_at <= %(forgotten)s THEN 1 ELSE counter.failures + 1 END,
    settled = CASE WHEN counter.last_failed_at <= %(forgotten)s THEN 0 ELSE counter.settled END,
    locked_until = CASE
        WHEN (CASE WHEN counter.last_failed_at <= %(forgotten)s THEN 1 ELSE counter.failures + 1 END) >= %(limit)s
        THEN %(until)s END,
    last_failed_at = %(now)s
WHERE counter.last_failed_at <= %(forgotten)s OR counter.failures < %(limit)s
RETURNING failures
"""
# A prepared statement needs the types of its parameters.
_RESERVE_TYPED = _RESERVE.replace("%(until)s END", "%(until)s::timestamptz END").replace("%(limit)s", "%(limit)s::int")


def _lasting() -> timedelta:
    return timedelta(seconds=settings.LOCKOUT_SECONDS)


def _reserve(counter: Counter, now: datetime) -> Guess | None:
    limit, lasting = settings.LOCKOUT_ATTEMPTS, _lasting()
    if not limit:  # switched off
        return Guess(counter=counter, failures=0, at=now, locked_until=None)
    times = {"now": now, "until": now + lasting, "forgotten": now - lasting}
    values = {"key": counter.key, "limit": limit, **{name: pipelined.param(at) for name, at in times.items()}}
    row = pipelined.fetch_one(_RESERVE_TYPED if pipelined.is_postgresql() else _RESERVE, values)
    if row is None:
        return None
    return Guess(counter=counter, failures=row[0], at=now, locked_until=times["until"] if row[0] >= limit else None)


def _bring_nearer(counter: Counter, now: datetime) -> None:
    """Correct a lockout that was set by a fast clock: it never ends later than now plus its duration."""
    until = now + _lasting()
    LoginCounter.objects.filter(key=counter.key, locked_until__gt=until).update(locked_until=until, last_failed_at=now)
    User.objects.filter(pk=counter.user_id or 0, locked_until__gt=until).update(locked_until=until)


def give_back(guess: Guess) -> None:
    """Release a reserved attempt whose password was correct or unchecked, after an error of our own.

    Never raises, so that the original error is reported. If it cannot be written, the attempt stays counted.
    """
    if not settings.LOCKOUT_ATTEMPTS:
        return
    try:
        with transaction.atomic():
            rows = LoginCounter.objects.filter(key=guess.counter.key, failures__gt=0)
            rows.update(failures=F("failures") - 1, locked_until=None)
            rows.filter(failures=0).delete()
    except Exception as error:
        log.warning("lockout.not_given_back", error=type(error).__name__)


def fail(guess: Guess, *, user_id: int | None, client: Client | None) -> None:
    """Make the reserved failure final, mirror it on User and notify the owner.

    An unknown name takes the same statements, so that the duration reveals nothing.
    """
    SIGN_IN_FAILURES.labels("wrong_password").inc()
    if guess.locked_until:
        LOCKOUTS.inc()
    counter = guess.counter
    with transaction.atomic():
        _hold(counter.user_id)
        rows = LoginCounter.objects.filter(key=counter.key)
        rows.update(settled=F("settled") + 1)  # locks the row, so that mirrors are written in order
        User.objects.filter(pk=counter.user_id or 0).update(
            login_attempts=Coalesce(Subquery(rows.values("failures")), 0),
            locked_until=Subquery(rows.values("locked_until")),
        )
        if user_id is None:
            security_events.rehearse(kind="login_failed", at=guess.at, client=client)
            return
        _tell(user_id, "login_failed", guess.at, client, {})
        if guess.locked_until:
            event_id = _tell(user_id, "lockout", guess.at, client, {"locked_until": isoformat(guess.locked_until)})
            enqueue.send(user_id, "account_locked", **({"event_id": event_id} if event_id else {}))


def _hold(user_id: int | None) -> None:
    """Lock the user's row before the counter, in the same order as login and password change, against deadlocks."""
    User.objects.select_for_update(no_key=True).filter(pk=user_id or 0).values_list("pk").first()


def _tell(user_id: int, kind: str, at: datetime, client: Client | None, detail: dict[str, str]) -> str:
    """Send the event; return the id of the stored row, '' if no receiver stored one."""
    told: list[tuple[Any, Any]] = security_event.send(
        sender=User, user_id=user_id, kind=kind, at=at, client=client, session_id=None, detail=detail
    )
    return next((str(stored.pk) for _receiver, stored in told if getattr(stored, "pk", None)), "")


def count_as_well(counter: Counter) -> None:
    """Count a failure of a session's counter towards the account's lockout as well."""
    guess = _reserve(counter, shared_clock.now())
    if guess is not None:
        with transaction.atomic():
            _hold(counter.user_id)
            rows = LoginCounter.objects.filter(key=counter.key)
            rows.update(settled=F("settled") + 1)
            User.objects.filter(pk=counter.user_id or 0).update(
                login_attempts=Coalesce(Subquery(rows.values("failures")), 0),
                locked_until=Subquery(rows.values("locked_until")),
            )


def succeed(guess: Guess) -> None:
    """Reset the counter after a correct password. The caller clears User's mirror."""
    pipelined.send(f"DELETE FROM {rows.table(LoginCounter)} WHERE key = %s", [guess.counter.key])  # noqa: S608


def forgive(user_id: int) -> None:
    """Reset failures that have not locked the account yet: its owner has just entered the correct password."""
    with transaction.atomic():
        _hold(user_id)
        if LoginCounter.objects.filter(key=counter_of_user(user_id).key, locked_until=None).delete()[0]:
            User.objects.filter(pk=user_id).rewrite(login_attempts=0, locked_until=None)


@contextlib.contextmanager
def given_back_on_failure(guess: Guess, *, but: type[Exception] | tuple[type[Exception], ...]) -> Iterator[None]:
    """Give the attempt back if the block raises anything but the error of a wrong answer (`but`)."""
    try:
        yield
    except but:
        raise
    except Exception:
        give_back(guess)
        raise


def unlock(user_id: int) -> None:
    """Lift the lockout of an account: after a reset, and by the admin. Atomic."""
    with transaction.atomic():
        _hold(user_id)
        LoginCounter.objects.filter(key=counter_of_user(user_id).key).delete()
        User.objects.filter(pk=user_id).rewrite(login_attempts=0, locked_until=None)
