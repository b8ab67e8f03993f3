"""Set-up that the peers made with Django share: one database with a pool, the same password hash, a key."""

import os
from collections.abc import Sequence
from typing import Any

import dj_database_url
import django
from django.conf import settings

PASSWORD = "alviar-demo"


def configure(urls: str, *, apps: Sequence[str], middleware: Sequence[str] = (), **more: Any) -> None:
    """Set Django up, once; without DATABASE_URL it has no database."""
    if settings.configured:
        return
    databases = {}
    if url := os.environ.get("DATABASE_URL"):
        databases["default"] = {**dj_database_url.parse(url), "OPTIONS": {"pool": {"min_size": 4, "max_size": 20}}}
    settings.configure(
        SECRET_KEY="a key of a benchmark, of more than thirty-two bytes",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        INSTALLED_APPS=apps,
        MIDDLEWARE=middleware,
        ROOT_URLCONF=urls,
        DATABASES=databases,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        # Argon2id at the same parameters as Alviar's, or the logins would compare hashes.
        PASSWORD_HASHERS=["common.passwords.Argon2Hasher"],
        ARGON2_MEMORY_KIB=int(os.environ.get("ARGON2_MEMORY_KIB", "19456")),
        ARGON2_TIME_COST=int(os.environ.get("ARGON2_TIME_COST", "2")),
        ARGON2_PARALLELISM=1,
        **more,
    )
    django.setup()


def make_users(count: int) -> list[Any]:
    """Migrate and create the people of a benchmark."""
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    password = make_password(PASSWORD)
    User.objects.bulk_create(User(username=f"person{n:04}", password=password) for n in range(count))
    return list(User.objects.order_by("id"))
