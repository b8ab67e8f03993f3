"""Authentication of new sockets in batches: token, memberships and open-socket counts of all that connect together.

One round trip to the database and one to each Redis, whatever their number. Blocks: runs on a database thread.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from chat.hub import presence
from chat.log import catchup, events
from common import pipelined, shared_clock
from common.errors import TokenNotValid
from sessions import authentication, hot_sql
from sessions.authentication import Authenticated
from sessions.places import sockets as session_sockets


@dataclass(frozen=True, slots=True)
class Knock:
    """A handshake to be authenticated. `default`: the conversation in the path."""

    token: str
    connection_id: str
    default: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Opened:
    """The user, session and places of a new socket, read together."""

    authenticated: Authenticated
    epoch: str
    places: list[catchup.Place]
    superseded: list[str]
    default_is_mine: bool
    read_at: float


def open_all(knocks: Sequence[Knock]) -> list[Opened | Exception]:
    """Return the user and places of each token, or the TokenNotValid of an invalid one.

    Raises OperationalError while the database is down.
    """
    claimed = [authentication.claimed(knock.token) for knock in knocks]
    good = [claims for claims in claimed if not isinstance(claims, TokenNotValid)]
    if not good:
        return [claims for claims in claimed if isinstance(claims, TokenNotValid)]
    read_at = time.monotonic()
    with pipelined.one_trip():
        fetch_sessions = hot_sql.ask_many(
            user_ids={claims.user_id for claims in good},
            sids={claims.sid for claims in good},
            names=authentication.FIELDS,
        )
        fetch_places = catchup.ask_places({claims.user_id for claims in good})
        found, places = fetch_sessions(), fetch_places()
    answers = authentication.decide_all(claimed, *found)
    epoch = events.epoch()
    now = shared_clock.time()
    entries = [
        presence.Entry(known.user_id, known.sid, knock.connection_id, now)
        for knock, known in zip(knocks, answers, strict=True)
        if isinstance(known, Authenticated)
    ]
    superseded = presence.opened_all(entries)
    session_sockets.opened_all([(entry.sid, entry.connection_id) for entry in entries])
    return [
        _opened(knock, known, epoch, places.get(known.user_id, []), superseded[knock.connection_id], read_at)
        if isinstance(known, Authenticated)
        else known
        for knock, known in zip(knocks, answers, strict=True)
    ]


def _opened(
    knock: Knock, known: Authenticated, epoch: str, places: list[catchup.Place], superseded: list[str], read_at: float
) -> Opened:
    default_is_mine = knock.default is None or any(place.conversation_uuid == knock.default for place in places)
    return Opened(known, epoch, places, superseded, default_is_mine, read_at)


def close_all(entries: Sequence[presence.Entry]) -> list[None]:
    """Remove sockets from the counts."""
    presence.closed_all(entries)
    session_sockets.closed_all([(entry.sid, entry.connection_id) for entry in entries])
    return [None] * len(entries)
