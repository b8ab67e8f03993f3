"""Give the event log a new epoch after restoring a backup."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand

from chat.models import Epoch


class Command(BaseCommand):
    help = "After a backup was restored: every cursor of before becomes a gap. Run it before the servers start."

    def handle(self, *args: Any, **options: Any) -> None:
        value = str(uuid.uuid4())
        Epoch.objects.update_or_create(pk=1, defaults={"value": value})
        self.stdout.write(f"The epoch is {value} now; sockets that open from here on have it.")
