"""django-allauth's headless API as its documentation sets it up: login, and the list of one's sessions.

DATABASE_URL=… gunicorn --worker-class gthread --threads 8 benchmarks.peers.allauth_sessions:wsgi
"""

from django.core.wsgi import get_wsgi_application
from django.urls import include, path

from benchmarks.peers import setup

setup.configure(
    __name__,
    apps=[
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
    middleware=[
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
)

urlpatterns = [path("accounts/", include("allauth.urls")), path("_allauth/", include("allauth.headless.urls"))]
wsgi = get_wsgi_application()
LOGIN, SESSIONS = "/_allauth/app/v1/auth/login", "/_allauth/app/v1/auth/sessions"


def make_people(count: int, sessions: int) -> list[dict[str, str]]:
    """Migrate, create people and sign each in `sessions` times; return the token of the last session of each."""
    import json

    from django.test import Client

    people = []
    for user in setup.make_users(count):
        for _ in range(sessions):
            body = json.dumps({"username": user.username, "password": setup.PASSWORD})
            answer = Client().post(LOGIN, body, content_type="application/json", headers={"user-agent": "benchmark"})
            assert answer.status_code == 200, answer.content
            token = answer.json()["meta"]["session_token"]
            assert Client().get(SESSIONS, headers={"x-session-token": token}).status_code == 200
        people.append({"access": token, "refresh": ""})
    return people
