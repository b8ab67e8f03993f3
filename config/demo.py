"""Demo accounts: alice, bob, charlie and an admin, with a public password.

They can sign in only while the database is the embedded SQLite file and the server listens on loopback only.
"""

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

PASSWORD = "alviar-demo"  # noqa: S105  (known on purpose, see above)
PEOPLE = {"alice": "Alice", "bob": "Bob", "charlie": "Charlie", "admin": "Admin"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def is_allowed() -> bool:
    return not settings.PRODUCTION and settings.EMBEDDED_DATABASE and settings.HOST in LOOPBACK


def address(username: str) -> str:
    return f"{username}@example.com"


@transaction.atomic
def make() -> None:
    """Create the demo accounts, or enable them again after `shut_out`; changed passwords are kept."""
    User = get_user_model()
    for username, first_name in PEOPLE.items():
        user = User.objects.filter(username=username).first()
        if user is None:
            User.objects.create_user(
                username=username,
                email=address(username),
                password=PASSWORD,
                first_name=first_name,
                email_verified=True,
                is_staff=username == "admin",
                is_superuser=username == "admin",
            )
        elif user.email == address(username) and not user.has_usable_password():
            user.set_password(PASSWORD)
            user.is_active = True
            user.save(update_fields=["password", "is_active"])
    _introduce("alice", "bob")


def _introduce(one: str, other: str) -> None:
    """Create a conversation between two of them."""
    from chat.services import conversations

    ids = dict(get_user_model().objects.filter(username__in=[one, other], is_active=True).values_list("username", "pk"))
    if len(ids) == 2:
        conversations.open_direct(user_id=ids[one], other_id=ids[other])


@transaction.atomic
def shut_out() -> int:
    """Disable accounts that still have the demo password and end their sessions; return how many."""
    from sessions.services import lifecycle

    User = get_user_model()
    count = 0
    for user in User.objects.filter(username__in=PEOPLE, is_active=True):
        if user.check_password(PASSWORD):
            user.set_unusable_password()
            user.is_active = False
            user.save(update_fields=["password", "is_active"])
            lifecycle.revoke_all(user_id=user.pk, reason="account_disabled")
            count += 1
    return count
