"""Give the event log a new name, after a backup was put back."""

import uuid
from typing import Any

from django.core.management.base import BaseCommand

from chat.models import Epoch


class Command(BaseCommand):
    help = "After a backup was restored: every cursor of before becomes a gap. Then restart the server processes."

    def handle(self, *args: Any, **options: Any) -> None:
        value = str(uuid.uuid4())
        Epoch.objects.update_or_create(pk=1, defaults={"value": value})
        self.stdout.write(f"The epoch is {value} now. Restart the server processes.")
