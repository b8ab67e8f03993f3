"""Export conversations as JSON lines."""

import sys
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from chat.transfer import exporting, progress


class Command(BaseCommand):
    help = "Write conversations, with all that was said and sent, as JSON lines: for `import_chat` elsewhere."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="where to; - for standard output")
        parser.add_argument("--conversation", action="append", default=[], type=uuid.UUID, help="only this one; repeat")
        parser.add_argument("--without-files", action="store_true", help="leave out the bytes of attachments")

    def handle(self, *args: Any, file: str, conversation: list[uuid.UUID], **options: Any) -> None:
        rows = exporting.chosen(conversation)
        total = exporting.total(rows) if self.stderr.isatty() else 0
        out = sys.stdout.buffer if file == "-" else open(file, "wb")  # noqa: SIM115
        counts: dict[str, int] = {}
        try:
            for counts in exporting.export(out, rows, with_files=not options["without_files"]):
                progress.draw(self.stderr, counts["message"] + counts["event"], total, "exported")
            out.flush()
        finally:
            if file != "-":
                out.close()
        progress.clear(self.stderr)
        self.stderr.write(f"exported: {progress.summary(counts)}")
