"""Examine this installation and say what to do."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import doctor

SIGNS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


class Command(BaseCommand):
    help = (
        "Look at settings, database, clock, Redis, mail, disk, attachments, SMS, push and the public address; exit 1 "
        "where something is wrong."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quiet", action="store_true", help="say nothing of what is well")

    def handle(self, *args: Any, quiet: bool = False, **options: Any) -> None:
        wrong = 0
        for finding in doctor.examine():
            wrong += finding.state == "error"
            if finding.state != "ok" or not quiet:
                advice = f"\n          -> {finding.advice}" if finding.advice else ""
                self.stdout.write(f"{SIGNS[finding.state]} {finding.subject}: {finding.said}{advice}")
        if wrong:
            raise SystemExit(1)
