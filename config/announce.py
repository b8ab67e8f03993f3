"""Messages of the launcher: JSON log lines in production, plain text otherwise. Does not load Django."""

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass
class Announcer:
    """Writes the launcher's messages. `log_format` and `log_level` are the settings of that name."""

    log_format: str = "console"
    log_level: str = "INFO"

    def __call__(self, event: str, text: str, *, level: str = "info", **facts: Any) -> None:
        """Write one line: `text` for people, or `event` with its facts in the shape of `config/logs.py`."""
        if LEVELS.index(level.upper()) < LEVELS.index(self.log_level):
            return
        if self.log_format == "json":
            now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            line = {**facts, "message": text, "event": event, "logger": "config.server", "level": level}
            print(json.dumps({**line, "timestamp": now}, default=str), file=sys.stderr, flush=True)  # noqa: T201
        else:
            print(text, flush=True)  # noqa: T201
