"""A progress bar for commands, on a terminal only."""

from typing import Any

BAR_CHARS = 30


def draw(stream: Any, done: int, total: int, what: str) -> None:
    """Redraw the bar; a `total` of 0 means unknown."""
    if not stream.isatty():
        return
    share = min(1.0, done / total) if total else 0.0
    bar = "#" * round(share * BAR_CHARS)
    stream.write(f"\r\x1b[K[{bar:<{BAR_CHARS}}] {done}/{total or '?'} {what}", ending="")
    stream.flush()


def clear(stream: Any) -> None:
    if stream.isatty():
        stream.write("\r\x1b[K", ending="")


def summary(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}s" if name != "skipped" else f"{count} skipped" for name, count in counts.items())
