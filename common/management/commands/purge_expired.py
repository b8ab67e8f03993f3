"""Delete expired data: ended sessions, spent tokens, expired blacklist rows, old security events."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from common import purging

BAR_CHARS = 30


class Command(BaseCommand):
    help = "Remove what has expired, in batches. Safe to run twice at once, and as often as one likes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=purging.BATCH_ROWS, help="rows a transaction (%(default)s)")

    def handle(self, *args: Any, batch: int, **options: Any) -> None:
        """Print a progress bar on a terminal, and one summary line in any case."""
        if batch < 1:
            raise ValueError("--batch is at least 1")
        purges = purging.registered()
        is_terminal = self.stderr.isatty()
        total = sum(purge.due() for purge in purges) if is_terminal else 0
        done: dict[str, int] = {}
        for purge in purges:
            done[purge.name] = 0
            while rows := purge.batch(batch):
                done[purge.name] += rows
                if is_terminal:
                    self._draw(sum(done.values()), total, purge.name)
                if rows < batch:
                    break
        if is_terminal:
            self.stderr.write("\r\x1b[K", ending="")
        self.stdout.write("purged: " + ", ".join(f"{count} {name}" for name, count in done.items()))

    def _draw(self, done: int, total: int, name: str) -> None:
        share = min(1.0, done / total) if total else 1.0
        bar = "#" * round(share * BAR_CHARS)
        self.stderr.write(f"\r\x1b[K[{bar:<{BAR_CHARS}}] {done}/{total} {name}", ending="")
        self.stderr.flush()
