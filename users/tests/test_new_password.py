"""Whoever sets a password, by whatever way, ends the same things; and nothing that was mailed before outlives it."""

import io
import json
import re

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.management.commands import changepassword
from django.core import mail, serializers
from django.core.management import call_command
from rest_framework.test import APIClient

from users.admin import actions
from users.mail import single_use
from users.models import EmailVerificationToken, LoginCounter, PasswordResetToken, SecurityEvent, User
from users.passwords import lockout
from users.tests.factors import code_at
from users.tests.letters_read import link_token, recipients

pytestmark = pytest.mark.django_db
OLD, NEW = "alviar-demo", "a better password 7"


def by_save(alice):
    alice.set_password(NEW)
    alice.save()


def by_update_fields(alice):
    alice.set_password(NEW)
    alice.save(update_fields=["password"])


def by_update(alice):
    User.objects.filter(username="alice").update(password=make_password(NEW))


def by_bulk_update(alice):
    alice.password = make_password(NEW)
    User.objects.bulk_update([alice], ["password"])


def by_an_unusable_one(alice):
    alice.set_unusable_password()
    alice.save()


def by_fixture(alice):
    alice.password = make_password(NEW)
    for row in serializers.deserialize("json", serializers.serialize("json", [alice])):
        row.save()


def by_loaddata(alice, tmp_path):
    rows = json.loads(serializers.serialize("json", [alice]))
    rows[0]["fields"]["password"] = make_password(NEW)
    (tmp_path / "people.json").write_text(json.dumps(rows))
    call_command("loaddata", str(tmp_path / "people.json"), verbosity=0)


def by_changepassword(alice, monkeypatch):
    monkeypatch.setattr(changepassword.Command, "_get_pass", lambda self, prompt="": NEW)
    call_command("changepassword", "alice", stdout=io.StringIO())


def by_force_reset(alice):
    actions.force_reset(user=alice)


def by_reset(alice):
    raw = single_use.issue(PasswordResetToken, alice, email=alice.email)
    confirm(raw)


def confirm(raw):
    body = {"token": str(raw), "new_password": NEW, "new_password_confirm": NEW}
    return APIClient().post("/api/auth/password-reset/confirm/", body)


WAYS = [
    by_save, by_update_fields, by_update, by_bulk_update, by_an_unusable_one, by_fixture, by_loaddata,
    by_changepassword, by_force_reset, by_reset,
]  # fmt: skip


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def set_password(request, alice, tmp_path, monkeypatch):
    def run():
        given = {"alice": User.objects.get(pk=alice.pk), "tmp_path": tmp_path, "monkeypatch": monkeypatch}
        names = request.param.__code__.co_varnames[: request.param.__code__.co_argcount]
        request.param(**{name: given[name] for name in names})

    return run


def ask_for_change(api, address="eve@example.net", password=OLD):
    return api.post("/api/auth/email-change/", {"new_email": address, "password": password})


def verify(token):
    return APIClient().post("/api/auth/verify-email/", {"token": token})


def test_sessions_links_lockout_and_remembered_devices_end(set_password, sign_in, alice, run_tasks):
    device_token = APIClient().post("/api/auth/login/", {"username": "alice", "password": OLD}).data["device_token"]
    here = sign_in(alice)
    assert ask_for_change(here).status_code == 200
    run_tasks()
    change_link = link_token(next(i for i, m in enumerate(mail.outbox) if m.to == ["eve@example.net"]))
    reset_link = single_use.issue(PasswordResetToken, alice, email=alice.email)
    for _ in range(5):
        APIClient().post("/api/auth/login/", {"username": "alice", "password": "wrong"})
    mail.outbox.clear()
    set_password()
    assert here.get("/api/users/me/").data["reason"] == "session_revoked"
    assert verify(change_link).status_code == 400
    assert confirm(reset_link).status_code == 400
    user = User.objects.get(pk=alice.pk)
    assert (user.email, user.locked_until, user.login_attempts) == ("alice@example.com", None, 0)
    assert user.password_changed_at is not None
    assert not LoginCounter.objects.filter(key=lockout.counter_of_user(alice.pk).key).exists()
    assert SecurityEvent.objects.filter(user=alice, kind="password_changed").count() == 1
    run_tasks()
    assert "Your password was changed · Alviar" in [message.subject for message in mail.outbox]
    from users.passwords import device_tokens

    assert device_tokens.read(device_token, user=user) is None


def test_a_change_whose_mail_is_still_to_be_written_moves_nothing(set_password, sign_in, alice, run_tasks):
    """The link is made when the task runs: a mail server that answers 451 would deliver it after the reset."""
    assert ask_for_change(sign_in(alice)).status_code == 200
    set_password()
    run_tasks()
    assert "eve@example.net" not in recipients()
    assert not EmailVerificationToken.objects.exists()


@pytest.mark.parametrize("way", ["logout_all", "sign_out", "suspend", "revoke", "address", "update_address"])
def test_whatever_ends_trust_calls_an_address_change_off(way, sign_in, alice, run_tasks):
    for early in (True, False):
        user = User.objects.get(pk=alice.pk)
        here, address = sign_in(user), f"eve{early}@example.net"
        assert ask_for_change(here, address).status_code == 200
        if early:
            run_tasks()
        match way:
            case "logout_all":
                here.post("/api/auth/logout-all/", {})
            case "sign_out":
                actions.sign_out(user=user)
            case "suspend":
                actions.suspend(user=user)
                actions.restore(user=user)
            case "revoke":
                here.post(f"/api/users/sessions/{here.started.user_session.session_token}/revoke/")
            case "address":
                user.email = f"alice-{early}@example.org"
                user.save()
            case "update_address":
                User.objects.filter(pk=user.pk).update(email=f"alice-{early}@example.com")
        run_tasks()
        if early:
            token = link_token(next(i for i, m in enumerate(mail.outbox) if m.to == [address]))
            assert verify(token).status_code == 400
        else:
            assert address not in recipients()
    assert not User.objects.filter(email__startswith="eve").exists()


def test_a_reset_asked_for_before_another_new_password_is_not_mailed(api, alice, run_tasks):
    api.post("/api/auth/password-reset/", {"email": "alice@example.com"})
    alice.set_password(NEW)
    alice.save()
    run_tasks()
    assert "Choose a new password · Alviar" not in [message.subject for message in mail.outbox]
    mail.outbox.clear()


def test_a_forced_reset_that_is_retried_after_the_reset_is_not_mailed(alice, run_tasks):
    actions.force_reset(user=alice)
    user = User.objects.get(pk=alice.pk)
    user.set_password(NEW)
    user.save()
    run_tasks()
    assert "Choose a new password · Alviar" not in [message.subject for message in mail.outbox]


def test_a_link_to_an_address_of_before_moves_nothing_back(alice, run_tasks):
    """An old mailbox, maybe the reason for the move, holds a link that was never followed."""
    raw = single_use.issue(EmailVerificationToken, alice, email=alice.email)
    reset = single_use.issue(PasswordResetToken, alice, email=alice.email)
    alice.email = "safe@example.org"
    alice.save()
    assert verify(str(raw)).status_code == 400
    assert confirm(reset).status_code == 400
    assert User.objects.get(pk=alice.pk).email == "safe@example.org"


def test_a_new_hash_of_the_same_password_ends_nothing(sign_in, alice):
    here = sign_in(alice)
    User.objects.filter(pk=alice.pk).rewrite(password=make_password(OLD, hasher="pbkdf2_sha256"))
    user = User.objects.get(pk=alice.pk)
    assert user.check_password(OLD)
    assert User.objects.get(pk=alice.pk).password.startswith("md5$")
    User.objects.filter(pk=alice.pk).rewrite(password=make_password(OLD, hasher="pbkdf2_sha256"))
    assert APIClient().post("/api/auth/login/", {"username": "alice", "password": OLD}).status_code == 200
    assert here.get("/api/users/me/").status_code == 200
    assert not SecurityEvent.objects.filter(kind="password_changed").exists()


def test_saving_something_else_ends_nothing(sign_in, alice):
    here = sign_in(alice)
    user = User.objects.get(pk=alice.pk)
    user.first_name = "Alice"
    user.save()
    User.objects.filter(pk=alice.pk).update(last_name="Liddell", email_verified=False)
    assert here.get("/api/users/me/").status_code == 200
    assert not SecurityEvent.objects.filter(kind="password_changed").exists()


@pytest.mark.parametrize("way", [by_save, actions.sign_out, actions.suspend, "logout_all", "suspend_and_restore"])
def test_the_admins_cookie_ends_too(way, admin_person, sign_in, person):
    person("root", is_superuser=True, is_staff=True)
    browser = APIClient()
    assert browser.login(username="admin", password=OLD)
    assert browser.get("/api/users/me/").status_code == 200
    user = User.objects.get(pk=admin_person.pk)
    if way == "logout_all":
        sign_in(user).post("/api/auth/logout-all/", {"keep_current": True})
    elif way == "suspend_and_restore":
        actions.suspend(user=user)
        actions.restore(user=user)
    elif way is by_save:
        by_save(user)
    else:
        way(user=user)
    assert browser.get("/api/users/me/").status_code == 401


def test_disabling_by_update_ends_sessions_for_good(sign_in, alice):
    here = sign_in(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert here.get("/api/users/me/").data["reason"] == "session_revoked"


def test_a_mailed_code_and_a_secret_that_is_not_confirmed_end(set_password, sign_in, api, alice, run_tasks):
    begun = sign_in(alice).post("/api/auth/factors/totp/").data["secret"]
    challenge = api.post("/api/auth/email-code/", {"email": alice.email}).data["challenge"]
    run_tasks()
    code = re.search(r"\b\d{6}\b", mail.outbox[-1].body)[0]

    set_password()

    answer = api.post("/api/auth/email-code/confirm/", {"challenge": challenge, "code": code})
    assert (answer.status_code, answer.data["code"]) == (400, "invalid_code")
    alice.refresh_from_db()
    confirmed = sign_in(alice).post("/api/auth/factors/totp/confirm/", {"code": code_at(begun)})
    assert (confirmed.status_code, confirmed.data["code"]) == (400, "invalid_code")


def test_a_code_outlives_a_new_hash_of_the_same_password(api, alice, run_tasks):
    challenge = api.post("/api/auth/email-code/", {"email": alice.email}).data["challenge"]
    run_tasks()
    code = re.search(r"\b\d{6}\b", mail.outbox[-1].body)[0]
    User.objects.filter(pk=alice.pk).rewrite(password=make_password(OLD))

    assert api.post("/api/auth/email-code/confirm/", {"challenge": challenge, "code": code}).status_code == 200


def test_an_upsert_of_many_rows_is_a_new_password_too(alice, api):
    access = api.post("/api/auth/login/", {"username": "alice", "password": OLD}).data["access"]
    row = User(pk=alice.pk, username="Alice", email=alice.email, password=make_password(NEW))
    User.objects.bulk_create([row], update_conflicts=True, unique_fields=["id"], update_fields=["username", "password"])
    stored = User.objects.get(pk=alice.pk)
    assert (stored.username, stored.username_key, stored.search_username) == ("Alice", "alice", "alice")
    assert stored.password_changed_at is not None
    assert api.get("/api/users/me/", headers={"Authorization": f"Bearer {access}"}).status_code == 401
    assert SecurityEvent.objects.get(kind="password_changed").detail == {"by": "operator"}
