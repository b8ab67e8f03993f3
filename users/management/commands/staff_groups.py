"""Make the groups of staff, each with what its work needs and no more."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

LOOK_AT_PEOPLE = ("users.view_user", "users.view_securityevent", "user_sessions.view_usersession")
GROUPS: dict[str, tuple[str, ...]] = {
    "Support": (*LOOK_AT_PEOPLE, "users.change_user", "user_sessions.change_usersession"),
    "Moderation": (
        *LOOK_AT_PEOPLE,
        *("chat.view_report", "chat.change_report", "chat.view_conversation", "chat.change_conversation"),
        *(f"chat.{verb}_moderatedword" for verb in ("view", "add", "change", "delete")),
    ),
    "Audit": ("admin.view_logentry", "users.view_securityevent"),
    "Operation": ("django_tasks_database.view_dbtaskresult",),
}


class Command(BaseCommand):
    help = (
        "Make the groups Support, Moderation, Audit and Operation, or give them their permissions anew. Tokens and "
        "tasks are in none of the first three. Who is in a group is not changed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            for name, wanted in GROUPS.items():
                found = [permission(one) for one in wanted]
                group, created = Group.objects.get_or_create(name=name)
                group.permissions.set(found)
                self.stdout.write(f"{name}: {len(found)} permissions{', new' if created else ''}")


def permission(name: str) -> Permission:
    app, _dot, codename = name.partition(".")
    found = Permission.objects.filter(content_type__app_label=app, codename=codename).first()
    if found is None:
        raise CommandError(f"There is no permission {name}. Run `manage.py migrate` first.")
    return found
