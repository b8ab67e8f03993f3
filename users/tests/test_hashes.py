"""Hashes of other projects sign in and are made anew; a broken one is a wrong password."""

import unicodedata

import bcrypt
import pytest
from django.contrib.auth.hashers import make_password

from common import passwords
from users.models import LoginCounter, User

pytestmark = pytest.mark.django_db
LOGIN = "/api/auth/login/"
PASSWORD = "alviar-demo"


def login(api, password=PASSWORD):
    return api.post(LOGIN, {"username": "alice", "password": password})


def stored(alice, encoded):
    User.objects.filter(pk=alice.pk).rewrite(password=encoded)


@pytest.mark.parametrize("hasher", ["pbkdf2_sha256", "pbkdf2_sha1", "bcrypt_sha256", "bcrypt", "scrypt", "argon2"])
def test_an_old_hash_signs_in_once_and_is_made_anew(api, alice, settings, hasher):
    settings.PASSWORD_HASHERS = [one for one in settings.PASSWORD_HASHERS if "MD5" not in one]
    stored(alice, make_password(PASSWORD, hasher=hasher))
    assert login(api, "wrong").status_code == 401
    assert login(api).status_code == 200
    assert User.objects.get().password.startswith("argon2$")
    assert login(api).status_code == 200


def test_a_long_password_under_bcrypt(api, alice):
    long = "é" * 50
    stored(alice, "bcrypt$" + bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode())
    assert login(api, long).status_code == 200
    assert login(api, long).status_code == 200


@pytest.mark.parametrize(
    "broken",
    ["", "x", "bcrypt$", "bcrypt$$2b$12$short", "bcrypt_sha256$$2b$04$" + "a" * 20, "pbkdf2_sha256$",
     "argon2$argon2id$v=19", "pbkdf2_sha256$x$salt$hash", "scrypt$1$2", "md5$", "sha512$1$2$3",
     "argon2$argon2id$v=19$m=x,t=2,p=1$c2FsdA$aGFzaA", "scrypt$salt$0$8$5$hash", "bcrypt$$2b$99$" + "a" * 53,
     "!unusable", "\u00e9$1$2"],
)  # fmt: skip
def test_a_broken_hash_is_a_wrong_password(api, alice, broken):
    stored(alice, broken)
    for _ in range(5):
        answer = login(api)
        assert (answer.status_code, answer.data["code"]) == (401, "no_active_account")
    assert login(api).data["code"] == "account_locked"
    counter = LoginCounter.objects.get()
    assert counter.settled == counter.failures == 5


def test_one_password_in_two_normal_forms_is_one(api, alice):
    composed, split = "pässwörd né 7", unicodedata.normalize("NFD", "pässwörd né 7")
    assert composed != split
    alice.set_password(split)
    alice.save()
    assert login(api, composed).status_code == login(api, split).status_code == 200
    stored(alice, make_password(split))  # made before the rule, of what was typed
    assert login(api, split).status_code == 200
    assert login(api, composed).status_code == 200, "the hash was made anew"


def test_the_length_is_that_of_the_composed_form(api):
    body = {"username": "dora", "email": "dora@example.org", "password": "e\u0301" * 5, "password_confirm": "é" * 5}
    answer = api.post("/api/auth/register/", body)
    assert [error["code"] for error in answer.data["errors"]["password"]] == ["password_too_short"]


@pytest.mark.parametrize("where", ["users.flows.login.sessions.start_here", "users.passwords.lockout.succeed"])
def test_a_login_that_fails_for_our_own_fault_costs_nothing(api, alice, monkeypatch, where):
    from django.db import OperationalError

    def fail(*args, **kwargs):
        raise OperationalError

    with monkeypatch.context() as broken:
        broken.setattr(where, fail)
        for _ in range(7):
            assert login(api).status_code == 503
    assert login(api).status_code == 200


def test_a_check_that_never_ran_costs_nothing(api, alice, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(passwords, "verify", fail)
        for _ in range(6):
            with pytest.raises(MemoryError):
                login(api)
    assert login(api).status_code == 200
    for _ in range(5):
        assert login(api, "wrong").status_code == 401
    assert login(api).status_code == 429
