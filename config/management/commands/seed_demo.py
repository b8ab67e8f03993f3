"""Make the demo people, where they are allowed; elsewhere shut out those that an earlier start made."""

from typing import Any

from django.core.management.base import BaseCommand

from config import demo


class Command(BaseCommand):
    help = "Make alice, bob, charlie and admin (embedded SQLite on loopback), or shut them out (anywhere else)."

    def handle(self, *args: Any, **options: Any) -> None:
        if demo.is_allowed():
            demo.make()
            said = f"{', '.join(demo.PEOPLE)} may sign in with {demo.PASSWORD}."
        else:
            said = f"Demo people are for the embedded SQLite on loopback. Shut out here: {demo.shut_out()}."
        if options["verbosity"]:
            self.stdout.write(said)
