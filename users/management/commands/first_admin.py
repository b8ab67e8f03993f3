"""Create the first administrator."""

import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from common.errors import ValidationFailed
from users.flows.register import require_free
from users.identity import addresses, names
from users.mail import single_use
from users.models import PasswordResetToken, User
from users.passwords import replace

LOCK = 0x61646D696E  # "admin"


class Command(BaseCommand):
    help = (
        "Make the first administrator. Without --password-stdin it prints a link, good once, where they "
        "choose a password. Refused once there is an administrator."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("email")
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")

    def handle(self, *args: Any, username: str, email: str, password_stdin: bool = False, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
        try:
            link = make(username=username, email=email, password=password)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except ValidationFailed as error:
            raise CommandError(
                " ".join(
                    f"{field}: {one['message']}" for field, found in error.extra["errors"].items() for one in found
                )
            ) from None
        self.stdout.write(f"{username} is an administrator: {settings.PUBLIC_URL}/admin/")
        if link:
            self.stdout.write(f"Choose a password within {settings.PASSWORD_RESET_LIFETIME // 60} minutes:\n{link}")


def make(*, username: str, email: str, password: str | None) -> str:
    """Create the account and return the link to choose a password ("" if one was given). Atomic.

    Raises: ValidationFailed (taken, weak), ValidationError (impossible), CommandError (there is one already).
    """
    username = names.normalise(username)
    names.validate(username)
    user = User(
        username=username,
        email=addresses.normalise(email),
        email_verified=True,  # trusted: only an operator can run this command
        is_staff=True,
        is_superuser=True,
    )
    if password is not None:
        replace.validate(password, user=user, field="password")
    user.set_password(password)  # None: unusable password
    with transaction.atomic():
        if connection.vendor == "postgresql":  # SQLite serialises writing transactions
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if User.objects.filter(is_superuser=True, is_active=True).exists():
            raise CommandError("There is an administrator already; they can make others in the admin.")
        require_free(username=user.username, email=user.email)
        user.save()
        if password is not None:
            return ""
        return f"{settings.PUBLIC_URL}/reset-password/#token={single_use.issue(PasswordResetToken, user)}"
