"""Mail a verification link to everybody whose address is not verified yet."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from users.mail import enqueue
from users.models import User

BATCH = 200


class Command(BaseCommand):
    help = "Mail a verification link to every active person whose e-mail address is not verified."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, dry_run: bool = False, **options: Any) -> None:
        waiting = User.objects.filter(email_verified=False, is_active=True).exclude(email="").order_by("pk")
        total, done, last = waiting.count(), 0, 0
        if dry_run:
            self.stdout.write(f"{total} waiting")
            return
        while batch := list(waiting.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH]):
            with transaction.atomic():
                for user_id in batch:
                    enqueue.send(user_id, "verify_email")
            last, done = batch[-1], done + len(batch)
            self.stdout.write(f"{done} of {total}")
