"""The push task: select, send, and select again before each retry."""

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from django.core.cache import cache
from django_tasks import task

from chat.push import decide
from chat.push.decide import Told
from sessions.push import delivery
from sessions.push.provider import Kind, Outcome

log = structlog.get_logger(__name__)

PUSHES_EACH = 500  # per task; more are split into further tasks
SHOWN_SECONDS = 7 * 86_400  # how long a device's notification is cleared when its message is seen elsewhere


@task(queue_name="push")
def wake(
    rooms: Sequence[Sequence[int]],
    seen: Sequence[Sequence[int]] = (),
    only: Sequence[int] | None = None,
    attempt: int = 1,
) -> None:
    """Push the messages of `[conversation_id, first_seq, last_seq]`, and clear the notifications of messages that
    `[user_id, conversation_id, seq]` have seen.

    Arguments are only numbers: no text is stored in a task. `only`: the registrations of a split or a retry. Everything
    is selected again for them, so that users who have read, muted or signed out meanwhile get no push.
    """
    spans = [(int(room[0]), int(room[1]), int(room[2])) for room in rooms]
    told = decide.messages(spans, only=only)
    positions = [(int(one[0]), int(one[1]), int(one[2])) for one in seen] + decide.senders(spans)
    told += decide.seen(positions, shown=_shown, only=only) if positions else []
    ids = sorted({one.push.registration_id for one in told})
    if len(ids) > PUSHES_EACH:
        for start in range(0, len(ids), PUSHES_EACH):
            wake.enqueue(rooms=rooms, seen=seen, only=ids[start : start + PUSHES_EACH], attempt=attempt)
        return
    outcomes = delivery.send([one.push for one in told])
    _remember(told, outcomes)
    for at, ids_again in delivery.again([one.push for one in told], outcomes, attempt=attempt):
        wake.using(run_after=at).enqueue(rooms=rooms, seen=seen, only=ids_again, attempt=attempt + 1)


def _key(registration_id: int, conversation_id: int) -> str:
    return f"push.shown:{registration_id}:{conversation_id}"


def _shown(keys: Iterable[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return the notifications that devices show, by registration and conversation. Empty while the cache is down."""
    names = {_key(*key): key for key in keys}
    try:
        found: dict[str, Any] = cache.get_many(names) if names else {}
    except Exception:
        log.warning("push.cache_away")
        return {}
    return {names[name]: int(seq) for name, seq in found.items()}


def _remember(told: Sequence[Told], outcomes: Sequence[Outcome]) -> None:
    """Record what devices show now. In the cache, so that no row is written per recipient of a message."""
    shown, cleared = {}, []
    for one, outcome in zip(told, outcomes, strict=True):
        if outcome.kind is not Kind.SENT:
            continue
        key = _key(one.push.registration_id, one.conversation_id)
        if one.push.is_silent:
            cleared.append(key)
        else:
            shown[key] = one.seq
    try:
        if cleared:
            cache.delete_many(cleared)
        if shown:
            cache.set_many(shown, SHOWN_SECONDS)
    except Exception:
        log.warning("push.cache_away")
