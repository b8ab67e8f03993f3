"""simplejwt as its documentation sets it up: rotation, blacklist, stock views, Django's own user, the same server.

DATABASE_URL=… uvicorn benchmarks.peers.stock_jwt:application
DATABASE_URL=… gunicorn --worker-class gthread --threads 8 benchmarks.peers.stock_jwt:wsgi
"""

import os
from datetime import timedelta
from typing import Any

import dj_database_url
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import path

SECRET_KEY = "a key of a benchmark, of more than thirty-two bytes"

if not settings.configured:
    database = dj_database_url.parse(os.environ["DATABASE_URL"])
    database["OPTIONS"] = {"pool": {"min_size": 4, "max_size": 20}}
    settings.configure(
        SECRET_KEY=SECRET_KEY,
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "rest_framework",
            "rest_framework_simplejwt",
            "rest_framework_simplejwt.token_blacklist",
        ],
        # What `startproject` gives, less what needs the session and admin apps.
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        ROOT_URLCONF=__name__,
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        # Argon2id at the same parameters as Alviar's, or the logins would compare hashes.
        PASSWORD_HASHERS=["common.passwords.Argon2Hasher"],
        ARGON2_MEMORY_KIB=int(os.environ.get("ARGON2_MEMORY_KIB", "19456")),
        ARGON2_TIME_COST=int(os.environ.get("ARGON2_TIME_COST", "2")),
        ARGON2_PARALLELISM=1,
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        },
        SIMPLE_JWT={
            "ACCESS_TOKEN_LIFETIME": timedelta(minutes=60),
            "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
            "ROTATE_REFRESH_TOKENS": True,
            "BLACKLIST_AFTER_ROTATION": True,
            "UPDATE_LAST_LOGIN": True,
        },
    )
    django.setup()

from django.contrib.auth.models import User  # noqa: E402
from rest_framework import generics, permissions, serializers  # noqa: E402
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView, TokenVerifyView  # noqa: E402


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "username", "email", "first_name", "last_name", "date_joined", "last_login", "is_active"]


class MeView(generics.RetrieveAPIView):
    serializer_class = UserSerializer
    permission_classes = [permissions.IsAuthenticated]

    def get_object(self) -> Any:
        return self.request.user


urlpatterns = [
    path("api/users/me/", MeView.as_view()),
    path("api/auth/login/", TokenObtainPairView.as_view()),
    path("api/auth/token/refresh/", TokenRefreshView.as_view()),
    path("api/auth/token/verify/", TokenVerifyView.as_view()),
]
application = get_asgi_application()
wsgi = get_wsgi_application()


def make_people(count: int, sessions: int = 1) -> list[dict[str, str]]:
    """Migrate, create people and return a token pair for each."""
    from django.contrib.auth.hashers import make_password
    from django.core.management import call_command
    from rest_framework_simplejwt.tokens import RefreshToken

    call_command("migrate", verbosity=0)
    password = make_password("alviar-demo")
    User.objects.bulk_create(User(username=f"person{n:04}", password=password) for n in range(count))
    pairs = [RefreshToken.for_user(user) for user in User.objects.order_by("id")]
    return [{"access": str(pair.access_token), "refresh": str(pair)} for pair in pairs]
