"""django-allauth's headless API as its documentation sets it up: login, and the list of one's sessions.

DATABASE_URL=… gunicorn --worker-class gthread --threads 8 benchmarks.peers.allauth_sessions:wsgi
"""

import os

import dj_database_url
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

if not settings.configured:
    database = dj_database_url.parse(os.environ["DATABASE_URL"])
    database["OPTIONS"] = {"pool": {"min_size": 4, "max_size": 20}}
    settings.configure(
        SECRET_KEY="a key of a benchmark, of more than thirty-two bytes",
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.humanize",
            "allauth",
            "allauth.account",
            "allauth.headless",
            "allauth.usersessions",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
            "allauth.account.middleware.AccountMiddleware",
            "allauth.usersessions.middleware.UserSessionsMiddleware",
        ],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_RATE_LIMITS=False,
        HEADLESS_ONLY=True,
        HEADLESS_FRONTEND_URLS={},
        USERSESSIONS_TRACK_ACTIVITY=True,
        ROOT_URLCONF=__name__,
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["common.passwords.Argon2Hasher"],
        ARGON2_MEMORY_KIB=int(os.environ.get("ARGON2_MEMORY_KIB", "19456")),
        ARGON2_TIME_COST=int(os.environ.get("ARGON2_TIME_COST", "2")),
        ARGON2_PARALLELISM=1,
    )
    django.setup()

urlpatterns = [path("accounts/", include("allauth.urls")), path("_allauth/", include("allauth.headless.urls"))]
wsgi = get_wsgi_application()
LOGIN, SESSIONS = "/_allauth/app/v1/auth/login", "/_allauth/app/v1/auth/sessions"


def make_people(count: int, sessions: int) -> list[dict[str, str]]:
    """Migrate, create people and sign each in `sessions` times; return the token of the last session of each."""
    import json

    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import Client

    call_command("migrate", verbosity=0)
    password = make_password("alviar-demo")
    User.objects.bulk_create(User(username=f"person{n:04}", password=password) for n in range(count))
    people = []
    for number in range(count):
        for _ in range(sessions):
            body = json.dumps({"username": f"person{number:04}", "password": "alviar-demo"})
            answer = Client().post(LOGIN, body, content_type="application/json", headers={"user-agent": "benchmark"})
            assert answer.status_code == 200, answer.content
            token = answer.json()["meta"]["session_token"]
            assert Client().get(SESSIONS, headers={"x-session-token": token}).status_code == 200
        people.append({"access": token, "refresh": ""})
    return people
