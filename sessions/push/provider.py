"""What Web Push, FCM, APNs and Expo have in common: a push goes in, an outcome comes out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

TEXT_KEYS = ("title", "body", "sender")


@dataclass(frozen=True, kw_only=True)
class Push:
    """One push to one device.

    `data` is what the app gets; `title` and `body` are what the system shows before any app runs (both empty: nothing
    is shown, the app clears or refreshes). `collapse`: a later push of that name replaces an earlier one.
    """

    registration_id: int
    provider: str
    token: str = field(repr=False)
    p256dh: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    environment: str = ""
    data: Mapping[str, Any]
    title: str = ""
    body: str = ""
    collapse: str = ""
    urgent: bool = False

    @property
    def is_silent(self) -> bool:
        return not (self.title or self.body)

    @property
    def badge(self) -> int | None:
        return self.data.get("badge")

    def without_texts(self) -> "Push":
        """Return the push with nothing left but where to look."""
        data = {name: value for name, value in self.data.items() if name not in TEXT_KEYS}
        return replace(self, data=data, title="", body="")


class Kind(Enum):
    SENT = "sent"
    GONE = "gone"  # the device is there no longer: forget it
    OVER = "over"  # the session or the registration ended meanwhile
    LATER = "later"
    TOO_LARGE = "too_large"
    FAILED = "failed"  # no other attempt would end otherwise


@dataclass(frozen=True)
class Outcome:
    """`why` is for the log; `retry_after` in seconds, where the service asks for it."""

    kind: Kind
    why: str = ""
    retry_after: float | None = None


SENT, GONE, OVER, TOO_LARGE = (Outcome(kind) for kind in (Kind.SENT, Kind.GONE, Kind.OVER, Kind.TOO_LARGE))


class Provider(ABC):
    """One way to reach a device. `batch`: so many pushes go out in one request."""

    batch = 1

    @abstractmethod
    def is_configured(self) -> bool:
        """Return whether this server has what it takes."""

    @abstractmethod
    def origin(self, push: Push) -> str:
        """Return the service that gets the push: one that hangs is left alone for a while."""

    @abstractmethod
    def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        """Send at most `batch` pushes; return their outcomes in order. Never raises for what a service answers."""
