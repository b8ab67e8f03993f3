"""Feed of one conversation in one process: delivers its events to every local socket, strictly in `seq` order.

Events may arrive in any order: early ones wait, duplicates are ignored, and a gap is reported to the hub, which reads
it from the database once for all sockets. Memberships change at their event, so that a user removed at `n` gets
nothing after `n`, whatever the layer has lost.
"""

import uuid
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from chat.hub.connection import Socket
from chat.hub.send_window import Frame
from chat.log.published import Encoded
from chat.protocol import outgoing
from common.metrics import DELIVERIES

NOBODY: Mapping[int, int] = {}
FRAME_EVENTS = 64  # per coalesced frame: below half of a send window
RECENT = 32


class Owner(Protocol):
    """Interface of the hub that a feed uses: change memberships at their events, drop slow sockets."""

    def follow_all(self, user_id: int, feed: "Feed", *, after: int, visible_after: int) -> None: ...
    def remove_all(self, user_id: int, feed: "Feed", *, at: int) -> None: ...
    def drop_slow(self, socket: Socket) -> None: ...


class Follow:
    """A socket behind the head: it has everything up to `sent`. `held`: a catch-up is running, nothing live is sent."""

    __slots__ = ("held", "sent", "until")

    def __init__(self, sent: int, *, held: bool = False) -> None:
        self.sent, self.held = sent, held
        self.until: int | None = None  # the last event that it may see


class Feed:
    """Ordered delivery of one conversation's events to the local sockets.

    Invariants: everything up to `head` was delivered, in order; `wanted >= head` is known to exist; `pending` holds
    only events beyond a gap; a socket is in `live` (at the head) or in `behind`, never in both.
    """

    __slots__ = (
        "behind", "head", "hidden", "id", "live", "owner", "pending", "quiet_at", "recent", "seen", "uuid", "wanted",
    )  # fmt: skip

    def __init__(self, owner: Owner, conversation_id: int, conversation_uuid: uuid.UUID, head: int) -> None:
        self.owner, self.id, self.uuid = owner, conversation_id, conversation_uuid
        self.head = head  # everything up to here was delivered
        self.wanted = head  # events up to here are known to exist
        self.live: set[Socket] = set()
        self.behind: dict[Socket, Follow] = {}
        self.hidden: dict[Socket, int] = {}  # up to which `seq` history is hidden from a socket, if any is
        self.pending: dict[int, Encoded] = {}
        self.recent: deque[Encoded] = deque(maxlen=RECENT)  # for catch-ups that finish while new events arrive
        self.quiet_at = -1
        self.seen: dict[int, int] = {}  # the latest receipt sent for each user

    @property
    def is_empty(self) -> bool:
        return not self.live and not self.behind

    @property
    def has_hole(self) -> bool:
        return self.wanted > self.head

    def sockets(self) -> Iterable[Socket]:
        yield from self.live
        yield from self.behind

    # --- Events ---

    def receive(self, events: Iterable[Encoded], *, cut: Mapping[int, int] = NOBODY) -> None:
        """Deliver events that follow the head, keep early ones, ignore old ones; `has_hole` tells if any are missing.

        `cut`: users who left within or after the events read from the database, and get none of them.
        """
        for user_id, left_at in cut.items():
            self.owner.remove_all(user_id, self, at=left_at)
        run: list[Encoded] = []
        following = self.head + 1
        pending = self.pending
        for event in events:
            if event.seq == following:
                run.append(event)
                following += 1
            elif event.seq > following:
                pending[event.seq] = event
            if event.seq > self.wanted:
                self.wanted = event.seq
        while pending:
            event_or_none = pending.pop(following, None)
            if event_or_none is None:
                break
            run.append(event_or_none)
            following += 1
        if run:
            self._apply(run, cut)
        if pending and self.head >= self.wanted:
            pending.clear()

    def _apply(self, run: list[Encoded], cut: Mapping[int, int]) -> None:
        plain: list[Encoded] = []
        for event in run:
            if event.member_id is None or event.kind == "member.role_changed":
                if event.visible_after == 0:
                    self.hidden.clear()
                plain.append(event)
                continue
            self._deliver(plain)
            plain = []
            if event.kind == "member.joined":
                if event.seq > cut.get(event.member_id, 0):
                    self.owner.follow_all(event.member_id, self, after=event.seq - 1, visible_after=hidden_by(event))
                self._deliver([event])
            else:
                self._deliver([event])
                self.owner.remove_all(event.member_id, self, at=event.seq)
        self._deliver(plain)
        for seq in [seq for seq in self.pending if seq <= self.head]:
            del self.pending[seq]

    def _deliver(self, run: list[Encoded]) -> None:
        for start in range(0, len(run), FRAME_EVENTS):
            self._fan_out(run[start : start + FRAME_EVENTS])

    def _fan_out(self, run: list[Encoded]) -> None:
        frame = Frame(outgoing.encode_events(run), events=len(run))
        self.head = run[-1].seq
        self.recent.extend(run)
        DELIVERIES.inc(len(run) * len(self.live))
        if self.hidden and any(event.reduced for event in run):
            slow = self._fan_out_reduced(run, frame)
        else:
            slow = [socket for socket in self.live if not socket.window.write(frame)]
        if self.behind:
            self._fan_out_behind(run)
        for socket in slow:
            self.owner.drop_slow(socket)

    def _fan_out_reduced(self, run: list[Encoded], full: Frame) -> list[Socket]:
        """Write to each socket the version of the events that it may see; one frame per version, not per socket."""
        limits = sorted({seq for event in run for seq, _raw in event.reduced})
        frames = {0: full}
        slow = []
        for socket in self.live:
            place = bisect_right(limits, self.hidden.get(socket, 0))
            frame = frames.get(place)
            if frame is None:
                seen = [event.seen_from(limits[place - 1]) for event in run]
                frame = frames[place] = Frame(outgoing.encode_events(seen), events=len(run))
            if not socket.window.write(frame):
                slow.append(socket)
        return slow

    def _fan_out_behind(self, run: list[Encoded]) -> None:
        for socket, follow in list(self.behind.items()):
            if follow.held:
                continue
            missing = [event for event in run if event.seq > follow.sent]
            if missing:
                socket.write(outgoing.encode_events(self.seen_by(socket, missing)), events=len(missing))
                follow.sent = missing[-1].seq
            if follow.sent <= self.head:
                del self.behind[socket]
                self.live.add(socket)

    # --- Sockets ---

    def hide(self, socket: Socket, visible_after: int) -> None:
        """Hide from the socket the history before its user's first visible message."""
        if visible_after:
            self.hidden[socket] = visible_after
        else:
            self.hidden.pop(socket, None)

    def seen_by(self, socket: Socket, events: Iterable[Encoded]) -> list[Encoded]:
        """Return the versions of the events that this socket may see."""
        visible_after = self.hidden.get(socket, 0)
        return [event.seen_from(visible_after) for event in events]

    def join(self, socket: Socket, *, after: int) -> None:
        """Deliver live events to the socket, which has everything up to `after`; the caller sends the rest."""
        self.live.discard(socket)
        if after <= self.head:
            self.behind.pop(socket, None)
            self.live.add(socket)
        else:
            self.behind[socket] = Follow(after)
            self.wanted = max(self.wanted, after)

    def hold(self, socket: Socket) -> Follow:
        """Hold live events back until `join`, while a catch-up runs."""
        follow = self.behind.get(socket)
        if follow is None:
            follow = self.behind[socket] = Follow(self.head)
            self.live.discard(socket)
        follow.held = True
        return follow

    def since(self, after: int) -> list[Encoded] | None:
        """Return the events after `after` from memory, None if memory does not reach back that far."""
        if after >= self.head:
            return []
        if not self.recent or self.recent[0].seq > after + 1:
            return None
        return [event for event in self.recent if event.seq > after]

    def forget_old(self) -> None:
        """Drop the recent events of a conversation without activity since the last call."""
        if self.quiet_at == self.head:
            self.recent.clear()
        self.quiet_at = self.head

    def leave(self, socket: Socket) -> None:
        self.live.discard(socket)
        self.behind.pop(socket, None)
        self.hidden.pop(socket, None)


def hidden_by(joined: Encoded) -> int:
    """Return up to which `seq` history is hidden from a joining user; without it, everything before the event."""
    return joined.seq - 1 if joined.visible_after is None else joined.visible_after
