"""Another password while signed in: a new pair here, the end everywhere else."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from rest_framework.test import APIClient

from users.models import PasswordResetToken, User

pytestmark = pytest.mark.django_db
URL = "/api/auth/password-change/"
OLD, NEW = "alviar-demo", "a better password 7"


def change(api, old=OLD, new=NEW, again=None):
    return api.post(URL, {"old_password": old, "new_password": new, "new_password_confirm": again or new})


def test_this_session_goes_on_with_a_new_pair_and_all_others_end(sign_in, alice):
    here, there = sign_in(alice), sign_in(alice)
    answer = change(here)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert answer.data["session"]["is_current"] is True
    assert there.get("/api/users/me/").data["reason"] == "session_revoked"
    assert here.get("/api/users/me/").status_code == 401, "the old access token of this session is void as well"
    here.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.data['access']}")
    assert here.get("/api/users/me/").status_code == 200
    old = APIClient().post("/api/auth/token/refresh/", {"refresh": here.started.tokens.refresh})
    assert old.status_code == 401


def test_the_new_refresh_token_works(sign_in, alice):
    answer = change(sign_in(alice))
    assert APIClient().post("/api/auth/token/refresh/", {"refresh": answer.data["refresh"]}).status_code == 200


def test_the_password_is_the_new_one(sign_in, alice, api):
    change(sign_in(alice))
    assert api.post("/api/auth/login/", {"username": "alice", "password": OLD}).status_code == 401
    assert api.post("/api/auth/login/", {"username": "alice", "password": NEW}).status_code == 200
    alice.refresh_from_db()
    assert alice.password_changed_at is not None


def test_without_a_session_there_is_no_pair_and_every_session_ends(sign_in, alice):
    phone = sign_in(alice)
    cookie = APIClient()
    cookie.force_authenticate(alice)
    answer = change(cookie)
    assert answer.status_code == 200
    assert "access" not in answer.data
    assert phone.get("/api/users/me/").status_code == 401


def test_a_wrong_old_password_counts_towards_the_lockout(sign_in, alice, api):
    here = sign_in(alice)
    for _ in range(5):
        answer = change(here, old="wrong")
        assert (answer.status_code, answer.data["code"], answer.data["action"]) == (400, "validation_error", "none")
        assert [error["code"] for error in answer.data["errors"]["old_password"]] == ["invalid_password"]
    answer = change(here)
    assert (answer.status_code, answer.data["code"]) == (429, "account_locked")
    assert api.post("/api/auth/login/", {"username": "alice", "password": OLD}).status_code == 429
    assert here.get("/api/users/me/").status_code == 200, "living sessions go on"


def test_a_right_old_password_resets_the_count(sign_in, alice):
    here = sign_in(alice)
    for _ in range(4):
        change(here, old="wrong")
    assert change(here, new="short").status_code == 400
    alice.refresh_from_db()
    assert alice.login_attempts == 0


@pytest.mark.parametrize(
    ("new", "again", "field", "code"),
    [("short", None, "new_password", "password_too_short"),
     ("alice@example", None, "new_password", "password_too_similar"),
     (NEW, "other", "new_password_confirm", "password_mismatch"), (None, None, "new_password", "null")],
)  # fmt: skip
def test_the_rules_are_those_of_registration(sign_in, alice, new, again, field, code):
    answer = change(sign_in(alice), new=new, again=again)
    assert code in [error["code"] for error in answer.data["errors"][field]]
    assert User.objects.get().check_password(OLD)


def test_reset_links_are_spent(sign_in, alice):
    PasswordResetToken.objects.create(user=alice)
    change(sign_in(alice))
    assert not PasswordResetToken.objects.filter(is_used=False).exists()


def test_nobody_is_401(api):
    answer = change(api)
    assert (answer.status_code, answer.data["code"]) == (401, "not_authenticated")
    assert answer["WWW-Authenticate"] == 'Bearer realm="api"'


def test_the_same_request_again_gets_the_pair_that_stands(sign_in, alice):
    here = sign_in(alice)
    first = change(here)
    again = change(here)  # its answer was lost: still with the access token of before
    assert again.status_code == 200
    assert again.data["refresh"] == first.data["refresh"]
    here.credentials(HTTP_AUTHORIZATION=f"Bearer {again.data['access']}")
    assert here.get("/api/users/me/").status_code == 200
    assert change(here).data["refresh"] == first.data["refresh"], "and with the new one"
    assert APIClient().post("/api/auth/token/refresh/", {"refresh": first.data["refresh"]}).status_code == 200


def test_a_token_of_before_is_good_for_the_repeat_alone(sign_in, alice):
    here = sign_in(alice)
    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        change(here)
        assert change(here, old=NEW, new="yet another 8").status_code == 400
        assert here.get("/api/users/me/").status_code == 401
        clock.shift(timedelta(seconds=31))
        assert change(here).data["reason"] == "expired"
    assert User.objects.get().check_password(NEW)


def test_the_repeat_counts_its_guesses(sign_in, alice):
    here = sign_in(alice)
    change(here)
    for number in range(5):
        assert change(here, new=f"a guess number {number}").status_code == 400
    assert change(here).status_code == 429


def test_a_strangers_guesses_do_not_keep_the_owner_from_acting(sign_in, alice, api):
    here = sign_in(alice)
    for _ in range(5):
        api.post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    assert api.post("/api/auth/login/", {"username": "alice", "password": OLD}).status_code == 429
    mine = {"new_email": "new@example.com", "password": OLD}
    assert here.post("/api/auth/email-change/", mine).status_code == 200
    assert api.post("/api/auth/login/", {"username": "alice", "password": OLD}).status_code == 429, "still locked"
    assert change(here).status_code == 200
    assert api.post("/api/auth/login/", {"username": "alice", "password": NEW}).status_code == 200


def test_another_session_has_its_own_count(sign_in, alice):
    here, there = sign_in(alice), sign_in(alice)
    for _ in range(5):
        change(here, old="wrong")
    assert change(here).status_code == 429
    assert change(there).status_code == 200


def test_a_new_device_token_comes_with_it(sign_in, alice, api):
    device_token = change(sign_in(alice)).data["device_token"]
    for _ in range(5):
        api.post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    body = {"username": "alice", "password": NEW}
    assert api.post("/api/auth/login/", body).status_code == 429
    assert api.post("/api/auth/login/", {**body, "device_token": device_token}).status_code == 200
