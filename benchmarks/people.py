"""Make people with living sessions, and groups of them, straight in the database: signing 5,000 in would take minutes.

python -m benchmarks.people COUNT [GROUP_SIZE [SESSIONS_EACH]]
"""

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

PASSWORD = "alviar-demo"


def main(count: int, group_size: int = 0, sessions: int = 1) -> None:
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import make_password
    from django.db import transaction
    from django.utils import timezone

    from chat.models import Conversation, Membership
    from common.client import Client
    from sessions.services import lifecycle

    User = get_user_model()
    password = make_password(PASSWORD)
    source = Client(ip_address="203.0.113.7", user_agent="benchmark")
    with transaction.atomic():
        users = [
            User.objects.create(
                username=f"person{n:04}", email=f"person{n:04}@example.com", email_verified=True, password=password
            )
            for n in range(count)
        ]
        for _ in range(sessions - 1):
            for user in users:
                lifecycle.start(user=user, client=source)
        pairs = [lifecycle.start(user=user, client=source).tokens for user in users]
        found = {"people": [{"access": pair.access, "refresh": pair.refresh} for pair in pairs], "group": ""}
        if group_size:
            now = timezone.now()
            group = Conversation.objects.create(
                kind="group", title="Benchmark", created_at=now, updated_at=now, members_count=group_size
            )
            Membership.objects.bulk_create(
                Membership(conversation=group, user=user, joined_at=now, joined_seq=0) for user in users[:group_size]
            )
            found["group"] = str(group.uuid)
    print(json.dumps(found))


if __name__ == "__main__":
    django.setup()
    main(*(int(word) for word in sys.argv[1:]))
