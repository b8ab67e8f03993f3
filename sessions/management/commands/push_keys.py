"""Generate a VAPID key, which identifies this server to the push services of browsers."""

from typing import Any

from django.core.management.base import BaseCommand

from sessions.push import vapid


class Command(BaseCommand):
    help = "Make a key for Web Push (VAPID). It is printed and kept nowhere."

    def handle(self, *args: Any, **options: Any) -> None:
        private = vapid.generate()
        self.stdout.write(f"VAPID_PRIVATE_KEY={private}")
        public = vapid.public_key(vapid.parse(private))
        self.stdout.write(f"# its public key, which clients read at /api/users/push/key/: {public}")
        self.stdout.write("# Browsers that subscribed with another key have to subscribe again: keep this one.")
