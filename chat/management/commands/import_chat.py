"""Import conversations from JSON lines."""

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError

from chat.transfer import importing, progress


class Command(BaseCommand):
    help = (
        "Read what `export_chat` wrote: same order, same ids. Conversations that are here already are passed over. "
        "People are found by their username; sockets that are open see the conversations once they connect anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="where from; - for standard input")
        parser.add_argument(
            "--allow-missing-people", action="store_true", help="what people said who are not here was said by nobody"
        )

    def handle(self, *args: Any, file: str, allow_missing_people: bool, **options: Any) -> None:
        source = sys.stdin.buffer if file == "-" else open(file, "rb")  # noqa: SIM115
        total = 0 if file == "-" else os.path.getsize(file)
        counts: dict[str, int] = {}
        try:
            for counts in importing.import_lines(source, allow_missing=allow_missing_people):
                progress.draw(self.stderr, source.tell() if total else sum(counts.values()), total, "imported")
        except (importing.ImportRefused, IntegrityError) as error:
            progress.clear(self.stderr)
            raise CommandError(f"{error} Imported so far: {progress.summary(counts) or 'nothing'}.") from error
        finally:
            if file != "-":
                source.close()
        progress.clear(self.stderr)
        self.stdout.write(f"imported: {progress.summary(counts)}")
