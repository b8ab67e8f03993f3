"""Common interface of Web Push, FCM, APNs and Expo: `Push` in, `Outcome` out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

TEXT_KEYS = ("title", "body", "sender")


@dataclass(frozen=True, kw_only=True)
class Push:
    """One push to one device.

    `data` is for the app; `title` and `body` are shown by the operating system before any app runs (both empty: a
    silent push, by which the app clears or refreshes). `collapse`: a later push of that name replaces an earlier one.
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
        """Return the push without its texts: only the ids that tell the app what to load."""
        data = {name: value for name, value in self.data.items() if name not in TEXT_KEYS}
        return replace(self, data=data, title="", body="")


class Kind(Enum):
    SENT = "sent"
    GONE = "gone"  # the device no longer exists: delete the registration
    OVER = "over"  # the session or the registration ended meanwhile
    LATER = "later"
    TOO_LARGE = "too_large"
    FAILED = "failed"  # a retry would fail as well


@dataclass(frozen=True)
class Outcome:
    """Result of one push. `why` is for the log; `retry_after` in seconds, if the service asks for it."""

    kind: Kind
    why: str = ""
    retry_after: float | None = None


SENT, GONE, OVER, TOO_LARGE = (Outcome(kind) for kind in (Kind.SENT, Kind.GONE, Kind.OVER, Kind.TOO_LARGE))


class Provider(ABC):
    """One push service. `batch`: how many pushes it accepts in one request."""

    batch = 1

    @abstractmethod
    def is_configured(self) -> bool:
        """Return whether the settings for this service are present."""

    @abstractmethod
    def origin(self, push: Push) -> str:
        """Return the origin of the service that receives the push; the circuit breaker works per origin."""

    @abstractmethod
    def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        """Send at most `batch` pushes; return their outcomes in order. Never raises because of an answer."""
