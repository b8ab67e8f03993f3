"""Re-encrypt stored secrets (authenticator apps, Apple's refresh tokens) with the current signing key."""

from typing import Any

from django.core.management.base import BaseCommand

from users.factors import resealing


class Command(BaseCommand):
    help = "Move secrets that are encrypted at rest to the newest key, so that an old one may leave the ring."

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = resealing.reseal()
        self.stdout.write("Everything that can be opened is sealed by the key that signs now.")
        if unreadable:
            self.stderr.write(f"{unreadable} secrets open with no key of the ring: their owners set them up anew.")
