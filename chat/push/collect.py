"""Collects committed messages and read positions, and enqueues a push task for them a moment later.

This does not slow acks: in a server the listeners only record ids, and a separate thread enqueues one task for all
commits within `PUSH_COLLECT_MS`. Elsewhere (a command, a test) the task is enqueued at once. A process killed in
between loses pushes, never messages.
"""

import asyncio
import threading
from collections.abc import Iterable

import structlog
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone

from chat.log.published import Published, Receipt
from chat.models import Membership
from common import pipelined
from sessions.models import PushRegistration, UserSession

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
ROOMS_MAX = 10_000  # kept while the database is down


class Collector:
    """Commits that are not enqueued yet: message numbers by conversation, read positions by user."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rooms: dict[int, tuple[int, int]] = {}
        self._seen: dict[tuple[int, int], int] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False

    def note_messages(self, batch: Iterable[Published]) -> None:
        """Record messages; a listener of the event log."""
        found = {}
        for published in batch:
            seqs = [event.seq for event in published.events if event.kind == "message.created"]
            if seqs:
                found[published.conversation_id] = (min(seqs), max(seqs))
        if found:
            self._note(found, {})

    def note_receipt(self, receipt: Receipt) -> None:
        """Record a read position; a listener of receipts."""
        if receipt.moved:
            self._note({}, {(receipt.user_id, receipt.conversation_id): receipt.up_to_seq})

    def _note(self, rooms: dict[int, tuple[int, int]], seen: dict[tuple[int, int], int]) -> None:
        with self._changed:
            was_empty = not self._rooms and not self._seen
            for conversation_id, (first, last) in rooms.items():
                known = self._rooms.get(conversation_id, (first, last))
                if conversation_id in self._rooms or len(self._rooms) < ROOMS_MAX:
                    self._rooms[conversation_id] = (min(first, known[0]), max(last, known[1]))
            for key, seq in seen.items():
                if key in self._seen or len(self._seen) < ROOMS_MAX:
                    self._seen[key] = max(seq, self._seen.get(key, 0))
            has_thread = self._thread is not None
            if was_empty:  # else the thread waits for its time, and each wake would take the interpreter from the hub
                self._changed.notify_all()
        if not has_thread:
            self._hand_on()

    def start(self) -> None:
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="chat-push", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Enqueue what is recorded and stop the thread."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(5)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._rooms or self._seen)
                if not self._stopping:
                    self._changed.wait_for(lambda: self._stopping, settings.PUSH_COLLECT_MS / 1_000)
                stopping = self._stopping
            close_old_connections()
            handed_on = self._hand_on()
            close_old_connections()
            if stopping:
                return
            if not handed_on:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS)

    def _hand_on(self) -> bool:
        """Enqueue a task for what is recorded, if a recipient has a device; keep it if enqueueing fails."""
        from chat.push import tasks

        with self._changed:
            rooms, self._rooms = self._rooms, {}
            seen, self._seen = self._seen, {}
        try:
            if rooms and not _anybody_in(rooms):
                rooms = {}
            if seen and not _devices_of({user_id for user_id, _ in seen}):
                seen = {}
            if rooms or seen:
                tasks.wake.enqueue(
                    rooms=[[conversation_id, *span] for conversation_id, span in rooms.items()],
                    seen=[[user_id, conversation_id, seq] for (user_id, conversation_id), seq in seen.items()],
                )
            return True
        except Exception as error:
            log.warning("push.not_enqueued", error=type(error).__name__)
            if self._thread is not None:
                self._note(rooms, seen)
            return False


def _anybody_in(conversation_ids: Iterable[int]) -> bool:
    """Return whether any member of these conversations has a device to push to.

    Plain SQL: by the ORM the two questions cost more than storing the message that raises them.
    """
    condition, params = pipelined.any_of(sorted(conversation_ids))
    registration, session, membership = (model._meta.db_table for model in (PushRegistration, UserSession, Membership))
    found = pipelined.fetch_one(
        f"SELECT 1 FROM {membership} m JOIN {registration} r ON r.user_id = m.user_id "  # noqa: S608
        f"JOIN {session} s ON s.id = r.user_session_id "
        f"WHERE m.conversation_id {condition} AND m.left_seq IS NULL AND s.expires_at > %s LIMIT 1",
        [*params, pipelined.param(timezone.now())],
    )
    return found is not None


def _devices_of(user_ids: Iterable[int]) -> bool:
    condition, params = pipelined.any_of(sorted(user_ids))
    table = PushRegistration._meta.db_table
    return pipelined.fetch_one(f"SELECT 1 FROM {table} WHERE user_id {condition} LIMIT 1", params) is not None  # noqa: S608


collector = Collector()


async def start() -> None:
    collector.start()


async def stop() -> None:
    await asyncio.to_thread(collector.stop)
