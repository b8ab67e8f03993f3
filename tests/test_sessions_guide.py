"""The tests and snippets printed in the sessions guide, as they stand there."""

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

client = APIClient()
user: Any = None


@pytest.fixture(autouse=True)
def _the_guides_admin(db: None) -> None:
    global user, client
    client = APIClient()
    user = get_user_model().objects.create_user("admin", "admin@example.com", "password123")


# fmt: off

# Test de connexion
def test_login():
    response = client.post('/api/users/auth/login/', {
        'username': 'admin',
        'password': 'password123',
        'device_fingerprint': 'test_device'
    })
    assert response.status_code == 200
    assert 'access' in response.data
    assert 'refresh' in response.data

# Test de session
def test_sessions():
    client.force_authenticate(user=user)
    response = client.get('/api/users/sessions/')
    assert response.status_code == 200

# fmt: on


def test_the_printed_login_with_remember_me() -> None:
    body = {
        "username": "admin",
        "password": "password123",
        "device_fingerprint": "unique_device_id",
        "remember_me": True,
    }
    response = client.post("/api/users/auth/login/", body)
    assert response.status_code == 200
    headers = {"HTTP_AUTHORIZATION": f"Bearer {response.data['access']}", "HTTP_DEVICE_FINGERPRINT": "unique_device_id"}
    (session,) = client.get("/api/users/sessions/", **headers).json()["results"]
    assert session["remember_me"] is True
    assert client.post(f"/api/users/sessions/{session['id']}/revoke/", **headers).status_code == 200


def test_existing_people_get_a_verification_mail_by_the_printed_loop(run_tasks: Any, mailoutbox: list[Any]) -> None:
    from users.models import EmailVerificationToken, User

    for user in User.objects.filter(email_verified=False):
        EmailVerificationToken.objects.create(user=user)
    run_tasks()
    (mail,) = mailoutbox
    assert mail.to == ["admin@example.com"]
    assert "/verify-email/#token=" in mail.body


def test_the_printed_settings_are_the_products() -> None:
    jwt = settings.SIMPLE_JWT
    assert jwt["ACCESS_TOKEN_LIFETIME"].total_seconds() == 60 * 60
    assert jwt["REFRESH_TOKEN_LIFETIME"].total_seconds() == 7 * 24 * 3600
    assert jwt["ROTATE_REFRESH_TOKENS"] is jwt["BLACKLIST_AFTER_ROTATION"] is jwt["UPDATE_LAST_LOGIN"] is True
    assert (jwt["ALGORITHM"], jwt["AUTH_HEADER_TYPES"], jwt["USER_ID_CLAIM"]) == ("HS256", ("Bearer",), "user_id")
    assert "rest_framework_simplejwt.token_blacklist" in settings.INSTALLED_APPS


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (
            "users.User",
            "email_verified phone_verified last_login_ip login_attempts locked_until password_changed_at "
            "device_fingerprint language timezone email_notifications sms_notifications push_notifications",
        ),
        (
            "user_sessions.UserSession",
            "user session_token device_fingerprint ip_address user_agent is_active expires_at",
        ),
        ("users.PasswordResetToken", "user token is_used expires_at"),
        ("users.EmailVerificationToken", "user token is_used expires_at"),
    ],
)
def test_the_printed_models_have_their_fields(model: str, fields: str) -> None:
    from django.apps import apps

    names = {field.name for field in apps.get_model(model)._meta.get_fields()}
    assert set(fields.split()) <= names
