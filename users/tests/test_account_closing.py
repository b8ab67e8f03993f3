"""Closing an account: signed out everywhere, erased, and the name free again."""

import pytest
from rest_framework.test import APIClient

from common.signals import user_closing
from users.models import EmailVerificationToken, LoginCounter, PasswordResetToken, SecurityEvent, User
from users.tests.letters_read import recipients

pytestmark = pytest.mark.django_db
URL = "/api/users/me/"
PASSWORD = "alviar-demo"


def close(api, password=PASSWORD):
    return api.delete(URL, {"password": password})


def test_closing_erases_signs_out_and_tells(sign_in, alice, run_tasks, api):
    here, there = sign_in(alice), sign_in(alice)
    User.objects.filter(pk=alice.pk).update(
        first_name="Alice", phone_number="+33142685300", last_login_ip="9.9.9.9", device_fingerprint="phone"
    )
    PasswordResetToken.objects.create(user=alice)
    EmailVerificationToken.objects.create(user=alice)
    closing = []

    def hear(user_id, **kwargs):
        closing.append(user_id)

    user_closing.connect(hear)
    answer = close(here)
    user_closing.disconnect(hear)
    assert (answer.status_code, answer.content) == (204, b"")
    assert closing == [alice.pk]
    for device in (here, there):
        assert device.get(URL).data["reason"] == "user_inactive"
    alice.refresh_from_db()
    assert alice.username == f"deleted-{alice.pk}"
    assert (alice.email, alice.first_name, alice.phone_number, alice.last_login_ip) == ("", "", "", None)
    assert (alice.device_fingerprint, alice.search_first_name, alice.last_login) == ("", "", None)
    assert alice.is_active is False
    assert alice.closed_at is not None
    assert not alice.has_usable_password()
    for model in (PasswordResetToken, EmailVerificationToken, SecurityEvent, LoginCounter):
        assert not model.objects.exists()
    run_tasks()
    assert recipients() == ["alice@example.com"]
    assert api.post("/api/auth/login/", {"username": "alice", "password": PASSWORD}).status_code == 401


def test_name_and_address_are_free_again(alice_api, alice, person):
    close(alice_api)
    assert person("alice").pk != alice.pk


def test_a_wrong_password_closes_nothing_and_counts(alice_api, alice):
    for _ in range(5):
        answer = close(alice_api, "wrong")
        assert (answer.status_code, answer.data["errors"]["password"][0]["code"]) == (400, "invalid_password")
    assert close(alice_api).data["code"] == "account_locked"
    alice.refresh_from_db()
    assert alice.is_active


@pytest.mark.parametrize("body", [{}, {"password": None}, {"password": 5}, {"password": ""}])
def test_without_a_password_it_is_400(alice_api, body):
    assert set(alice_api.delete(URL, body).data["errors"]) == {"password"}


def test_if_one_app_cannot_erase_nothing_is_closed(alice, sign_in):
    def fail(**kwargs):
        raise RuntimeError

    here = sign_in(alice)
    user_closing.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            close(here)
    finally:
        user_closing.disconnect(fail)
    alice.refresh_from_db()
    assert (alice.is_active, alice.email) == (True, "alice@example.com")
    assert here.get(URL).status_code == 200


def test_two_accounts_may_be_closed(alice, bob):
    for user in (alice, bob):
        api = APIClient()
        api.force_authenticate(user)
        assert close(api).status_code == 204


def test_closing_by_post_is_the_same(alice_api, alice):
    assert alice_api.post("/api/users/me/close/", {"password": "wrong"}).status_code == 400
    assert alice_api.post("/api/users/me/close/", {"password": "alviar-demo"}).status_code == 204
    alice.refresh_from_db()
    assert alice.closed_at is not None
    assert alice_api.get("/api/users/me/").status_code == 401


def test_the_name_of_a_closed_account_may_be_somebody_elses(alice, alice_api):
    User.objects.create(username=f"deleted-{alice.pk}", email="imported@example.org")
    assert alice_api.post("/api/users/me/close/", {"password": "alviar-demo"}).status_code == 204
    alice.refresh_from_db()
    assert alice.username.startswith(f"deleted-{alice.pk}-")
