"""`manage.py import_people people.csv --dry-run`: import users of an earlier project with their password hashes."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from users import importing

WIDTH = 30


class Command(BaseCommand):
    help = "Import people from CSV (with a header) or JSON lines. Old password hashes go on signing in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="check every row and write nothing")
        parser.add_argument("--strict", action="store_true", help="write nothing at all where any row has a problem")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path} is not a file.")
        try:
            total = sum(1 for _row in importing.rows_of(path))
            if options["strict"] and not options["dry_run"]:
                self.tell(self.run(path, total, dry_run=True), dry_run=True, strict=True)
            report = self.run(path, total, dry_run=options["dry_run"])
        except UnicodeDecodeError:
            raise CommandError(f"{path} is not UTF-8.") from None
        self.tell(report, dry_run=options["dry_run"], strict=options["strict"])

    def run(self, path: Path, total: int, *, dry_run: bool) -> importing.Report:
        shown = -1
        is_terminal = getattr(self.stderr, "isatty", lambda: False)() or sys.stderr.isatty()

        def on_row(number: int) -> None:
            nonlocal shown
            percent = number * 100 // max(total, 1)
            if percent == shown or not (is_terminal or percent % 10 == 0):
                return
            shown = percent
            bar = "#" * (WIDTH * percent // 100)
            self.stderr.write(f"\r[{bar:<{WIDTH}}] {percent:3d} % of {total} rows", ending="" if is_terminal else "\n")

        report = importing.import_people(importing.rows_of(path), dry_run=dry_run, on_row=on_row)
        if is_terminal:
            self.stderr.write("")
        return report

    def tell(self, report: importing.Report, *, dry_run: bool, strict: bool) -> None:
        for number, problem in report.problems:
            self.stdout.write(f"row {number}: left out: {problem}")
        for number, note in report.notes:
            self.stdout.write(f"row {number}: {note}")
        if strict and report.problems:
            raise CommandError(f"{len(report.problems)} of {report.rows} rows have a problem: nothing was imported.")
        done = "would be imported" if dry_run else "imported"
        self.stdout.write(
            f"{report.imported} of {report.rows} rows {done}, {len(report.problems)} left out, "
            f"{report.without_password} without a password that can be checked."
        )
