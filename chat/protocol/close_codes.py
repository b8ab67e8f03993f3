"""Close codes of the WebSocket."""

from enum import IntEnum


class Close(IntEnum):
    """Why the server closes: 4000 to 4499 the client reconnects, 4500 to 4999 it does not."""

    TOKEN_NOT_VALID = 4401
    HEARTBEAT_TIMEOUT = 4408
    SERVER_DRAIN = 4410
    TEMPORARILY_UNAVAILABLE = 4411
    INTERNAL = 4412
    SLOW_CONSUMER = 4413
    THROTTLED = 4429
    MAX_AGE = 4440
    SESSION_REVOKED = 4503
    ACCOUNT_DISABLED = 4504
    SUPERSEDED = 4506
    BAD_FRAME = 4507

    @property
    def code(self) -> str:
        return self.name.lower()
