"""Presence subscriptions: which sockets watch which users, and the state that was last sent."""

import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from chat import database
from chat.hub import layer, presence
from chat.hub.connection import Socket
from chat.hub.messages import Message, PresenceChanged
from chat.protocol.outgoing import PresenceOf, PresenceShownFrame
from common.json import isoformat

GRACE_SECONDS = 5.0  # a user who reconnects within this time is not shown as offline


class PresenceBoard:
    """The presence subscriptions of the local sockets.

    Invariants: `watchers[u]` holds exactly the sockets with `u` in `watching` and is never empty; `shown[u]` is what
    all of them were sent last, except those with `u` in `hidden`, which were sent "offline".
    """

    def __init__(
        self, spawn: Callable[[Coroutine[Any, Any, Any]], None], tell_others: Callable[[str, Message], None]
    ) -> None:
        self.spawn, self.tell_others = spawn, tell_others
        self.watchers: dict[int, set[Socket]] = defaultdict(set)
        self.shown: dict[int, bool] = {}
        self.changed: set[int] = set()
        self.recheck = False
        self.leaving: dict[int, float] = {}

    # --- What happens here ---

    def arrived(self, user_id: int) -> None:
        """Note the user's first socket on this process."""
        self.leaving.pop(user_id, None)
        self.changed.add(user_id)  # sent only where a different state was shown before

    def left(self, user_id: int) -> None:
        """Note that the user's last socket on this process has closed."""
        self.leaving[user_id] = time.monotonic() + GRACE_SECONDS

    def check(self, user_ids: Iterable[int]) -> None:
        """Check again what these users share and with whom, after a change."""
        self.changed.update(user_ids)
        self.recheck = True

    def tick(self, now: float) -> None:
        """Publish, once a second, the users whose presence may have changed."""
        for user_id in [user_id for user_id, since in self.leaving.items() if since <= now]:
            del self.leaving[user_id]
            self.changed.add(user_id)
        if not self.changed:
            return
        changed, recheck = list(self.changed), self.recheck
        self.changed, self.recheck = set(), False
        self.tell_others(layer.ALL, PresenceChanged(u=changed, r=recheck))
        self.moved(changed, recheck=recheck)

    # --- Who looks ---

    def watch(self, socket: Socket, user_ids: frozenset[int]) -> None:
        """Let the socket watch these users instead of its earlier ones."""
        for user_id in socket.watching - user_ids:
            self.watchers[user_id].discard(socket)
            if not self.watchers[user_id]:
                del self.watchers[user_id]
                self.shown.pop(user_id, None)
        for user_id in user_ids - socket.watching:
            self.watchers[user_id].add(socket)
        socket.watching = user_ids

    async def answer(self, socket: Socket, user_ids: frozenset[int], *, ref: Any) -> None:
        """Watch these users and send their present state; hidden users are reported as offline."""
        self.watch(socket, user_ids)  # first, so that no change is missed between reading and sending
        visible, found = await database.run(_look, {socket.user_id: set(user_ids)})
        if not socket.is_open or socket.watching != user_ids:
            return
        seen = visible[socket.user_id]
        socket.hidden = user_ids - seen
        self._agree({user_id: found[user_id] for user_id in seen}, told=socket)
        users = [_shape(one, found[one] if one in seen else presence.State()) for one in sorted(user_ids)]
        socket.send(PresenceShownFrame(ref=ref, users=users))

    def _agree(self, found: dict[int, presence.State], *, told: Socket) -> None:
        """Send the state read for one watcher to all watchers, so that `shown` is true for each of them."""
        for user_id, state in found.items():
            if self.shown.setdefault(user_id, state.online) == state.online:
                continue
            self.shown[user_id] = state.online
            frame = PresenceShownFrame(users=[_shape(user_id, state)]).encode()
            for other in self.watchers.get(user_id, ()):
                if other is not told and user_id not in other.hidden:
                    other.write(frame, droppable=True)

    def check_all(self) -> None:
        """Check all watched users: a killed process has reported nothing."""
        if self.watchers:
            self.moved(list(self.watchers), recheck=True)

    def moved(self, user_ids: Iterable[int], *, recheck: bool) -> None:
        """Send changed states to the watchers; `recheck`: also check again who may see them."""
        watched = [user_id for user_id in user_ids if user_id in self.watchers]
        if watched:
            self.spawn(self._show(watched, recheck=recheck))

    async def _show(self, user_ids: list[int], *, recheck: bool) -> None:
        watching: dict[int, set[int]] = defaultdict(set)
        for user_id in user_ids:
            for socket in self.watchers.get(user_id, ()):
                watching[socket.user_id].add(user_id)
        visible, found = await database.run(_look, watching)
        found = {user_id: found.get(user_id, presence.State()) for user_id in user_ids}
        changed = {user_id for user_id in user_ids if self.shown.get(user_id) != found[user_id].online}
        if not changed and not recheck:
            return
        told: dict[Socket, list[PresenceOf]] = defaultdict(list)
        for user_id in user_ids:
            self.shown[user_id] = found[user_id].online
            for socket in self.watchers.get(user_id, ()):
                may, hidden = user_id in visible.get(socket.user_id, ()), user_id in socket.hidden
                if may and (hidden or user_id in changed):
                    socket.hidden -= {user_id}
                    told[socket].append(_shape(user_id, found[user_id]))
                elif not may and not hidden:
                    socket.hidden |= {user_id}
                    told[socket].append(_shape(user_id, presence.State()))
        for socket, users in told.items():
            socket.write(PresenceShownFrame(users=users).encode(), droppable=True)


def _look(watching: dict[int, set[int]]) -> tuple[dict[int, set[int]], dict[int, presence.State]]:
    """Read who may see whom, and the states. Runs on a database thread."""
    return presence.visible(watching), presence.states({one for wanted in watching.values() for one in wanted})


def _shape(user_id: int, state: presence.State) -> PresenceOf:
    seen = None if state.last_seen_at is None else isoformat(state.last_seen_at)
    return PresenceOf(user_id=user_id, online=state.online, last_seen_at=seen)
