"""Closing of sockets whose session or account has ended, or that are superseded, on all processes."""

import uuid
from collections.abc import Callable, Iterable

from chat.hub import layer
from chat.hub.hub import Hub
from chat.hub.messages import Message, SessionsRevoked, SocketsSuperseded, UserSuspended
from chat.protocol.close_codes import Close
from common.errors import TokenNotValid

GONE = frozenset({"account_disabled", "account_closed"})


class Endings:
    """Closes sockets: `…_here` those of this process, the plain name on the other processes as well."""

    def __init__(self, hub: Hub, tell_others: Callable[[str, Message], None]) -> None:
        self.hub, self.tell_others = hub, tell_others

    def end_sessions(self, sids: list[uuid.UUID], reason: str) -> None:
        self.end_sessions_here(sids, reason)
        self.tell_others(layer.ALL, SessionsRevoked(s=[str(sid) for sid in sids], reason=reason))

    def end_sessions_here(self, sids: Iterable[uuid.UUID], reason: str) -> None:
        for sid in sids:
            self.hub.note_end(sid, "user_inactive" if reason in GONE else "session_revoked")
            for socket in list(self.hub.by_sid.get(sid, ())):
                socket.close(Close.ACCOUNT_DISABLED if reason in GONE else Close.SESSION_REVOKED)

    def suspend(self, user_id: int) -> None:
        self.suspend_here(user_id)
        self.tell_others(layer.ALL, UserSuspended(u=user_id))

    def suspend_here(self, user_id: int) -> None:
        self.hub.note_end(user_id, "user_inactive")
        for socket in list(self.hub.by_user.get(user_id, ())):
            socket.close(Close.ACCOUNT_DISABLED)

    def supersede(self, connection_ids: list[str]) -> None:
        self.supersede_here(connection_ids)
        self.tell_others(layer.ALL, SocketsSuperseded(c=connection_ids))

    def supersede_here(self, connection_ids: Iterable[str]) -> None:
        for connection_id in connection_ids:
            if socket := self.hub.sockets.get(connection_id):
                socket.close(Close.SUPERSEDED)


def close_of(error: TokenNotValid) -> Close:
    """Return the close code for an invalid token."""
    match error.reason:
        case "session_revoked" | "session_expired":
            return Close.SESSION_REVOKED
        case "user_inactive":
            return Close.ACCOUNT_DISABLED
        case _:
            return Close.TOKEN_NOT_VALID
