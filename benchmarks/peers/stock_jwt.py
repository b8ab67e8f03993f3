"""simplejwt as its documentation sets it up: rotation, blacklist, stock views, Django's own user, the same server.

DATABASE_URL=… uvicorn benchmarks.peers.stock_jwt:application
DATABASE_URL=… gunicorn --worker-class gthread --threads 8 benchmarks.peers.stock_jwt:wsgi
"""

from datetime import timedelta
from typing import Any

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.urls import path

from benchmarks.peers import setup

setup.configure(
    __name__,
    apps=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "rest_framework",
        "rest_framework_simplejwt",
        "rest_framework_simplejwt.token_blacklist",
    ],
    # What `startproject` gives, less what needs the session and admin apps.
    middleware=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
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
    from rest_framework_simplejwt.tokens import RefreshToken

    pairs = [RefreshToken.for_user(user) for user in setup.make_users(count)]
    return [{"access": str(pair.access_token), "refresh": str(pair)} for pair in pairs]
