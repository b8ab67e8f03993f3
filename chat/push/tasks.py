"""The task that pushes: decide, send, and decide anew before each further attempt."""

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

PUSHES_EACH = 500  # of one task; more are shared out
SHOWN_SECONDS = 7 * 86_400  # for so long a device is told that what it shows was seen elsewhere


@task(queue_name="push")
def wake(
    rooms: Sequence[Sequence[int]],
    seen: Sequence[Sequence[int]] = (),
    only: Sequence[int] | None = None,
    attempt: int = 1,
) -> None:
    """Push the messages of `[conversation_id, first_seq, last_seq]`, and take back what `[user_id, conversation_id,
    seq]` have seen.

    Arguments are numbers: no text rests in a task. `only`: the registrations of a share or of a further attempt, for
    which everything is decided anew, so that whoever has read, muted or signed out meanwhile is left in peace.
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
    """Return what devices show, by registration and conversation. Nothing, where the cache is away."""
    names = {_key(*key): key for key in keys}
    try:
        found: dict[str, Any] = cache.get_many(names) if names else {}
    except Exception:
        log.warning("push.cache_away")
        return {}
    return {names[name]: int(seq) for name, seq in found.items()}


def _remember(told: Sequence[Told], outcomes: Sequence[Outcome]) -> None:
    """Note what devices show now. In the cache: nothing is written for each recipient of a message."""
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
