"""Generate a new signing key. With a ring file it takes effect at once; otherwise the manual steps are printed."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from common.json import isoformat
from common.signals import sealing_key_changed
from sessions.tokens import keys


class Command(BaseCommand):
    help = "Make a new key for tokens. Old keys verify until the last token signed with them has ended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--algorithm", choices=keys.ALGORITHMS, default=settings.JWT_ALGORITHM)
        parser.add_argument("--kid", default="", help="the new key's id (made of date and chance where absent)")
        parser.add_argument("--remove", metavar="KID", default="", help="take an old key out of the ring file instead")

    def handle(self, *args: Any, algorithm: str, kid: str, remove: str, **options: Any) -> None:
        try:
            files = keys.ring_files()
            if remove:
                return self._remove(files, remove)
            entry = keys.generate(algorithm, kid)
            new = keys.parse(entry)
            if new.kid in keys.ring().keys:
                raise CommandError(f"The kid {new.kid} is in the ring already.")
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        old = ", ".join(keys.ring().keys)
        gone = isoformat(old_keys_end(timezone.now()))
        if files and algorithm == settings.JWT_ALGORITHM:
            keys.write_ring(files[0], [entry, *keys.read_ring(files[0])])
            keys.ring(kid=new.kid)
            self._reseal()
            self.stdout.write(f"{new.kid} signs from now on, in every process within a second: {files[0]}")
            self.stdout.write(f"Older keys verify on ({old}). They may go at {gone}: rotate_signing_key --remove KID")
            return None
        self._print_steps(entry, new.kid, algorithm, gone)
        return None

    def _remove(self, files: list[Path], kid: str) -> None:
        """Remove a key from the first ring file that has it; never the signing key."""
        for file in files:
            entries = keys.read_ring(file)
            left = [entry for entry in entries if entry.partition(":")[0] != kid]
            if len(left) == len(entries):
                continue
            if keys.ring().signer.kid == kid:
                raise CommandError(f"{kid} signs. Rotate first.")
            self._reseal()
            keys.write_ring(file, left)
            self.stdout.write(f"{kid} is out of {file}: tokens signed with it are refused from now on.")
            return
        raise CommandError(f"{kid} is in no ring file.")

    def _reseal(self) -> None:
        """Re-encrypt sealed secrets with the signing key, so that an older key can be removed."""
        answers: list[tuple[Any, Any]] = sealing_key_changed.send(sender=type(self))
        unreadable = sum(count for _receiver, count in answers)
        if unreadable:
            self.stderr.write(f"{unreadable} sealed secrets open with no key: their owners have to set them up anew.")

    def _print_steps(self, entry: str, kid: str, algorithm: str, gone: str) -> None:
        """Print the manual steps: every process must know a key before any process signs with it."""
        old = "<the present ones>"
        lines = [
            f"The new key: {entry}",
            "",
            "1. Put it last, and restart every process (it verifies, the old one signs on):",
            f"   JWT_SIGNING_KEYS={old},{kid}:…",
            "2. Put it first, and restart again (it signs):",
            f"   JWT_SIGNING_KEYS={kid}:…,{old} JWT_ALGORITHM={algorithm}",
            f"3. Take the old ones out, not before {gone}: the last token signed with them ends.",
            "",
            "What is encrypted at rest moves to the new key within a day; at once by: manage.py reseal_secrets",
            "With JWT_SIGNING_KEYS=@/path/to/a/ring-file this command does it all, without a restart.",
        ]
        if keys.ring().derived:
            lines.insert(4, f"   (the present one is derived from SECRET_KEY: {keys.derived_entry()})")
        self.stdout.write("\n".join(lines))


def old_keys_end(at: datetime) -> datetime:
    """Return when the last token signed before `at` has expired: the longest idle lifetime plus the leeway."""
    longest = max(
        min(settings.SESSION_IDLE_LIFETIME, settings.SESSION_ABSOLUTE_LIFETIME),
        min(settings.REMEMBER_ME_IDLE_LIFETIME, settings.REMEMBER_ME_ABSOLUTE_LIFETIME),
        settings.ACCESS_TOKEN_LIFETIME,
    )
    return at + timedelta(seconds=longest + settings.JWT_LEEWAY)
