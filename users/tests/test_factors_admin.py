"""What a support person sees of factors, and the one thing they may do: remove a second factor that was lost."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from users.factors import recovery_codes
from users.factors.models import Passkey, RecoveryCode, TotpFactor
from users.models import SecurityEvent, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(admin_person):
    client = Client()
    client.force_login(admin_person)
    return client


@pytest.fixture
def enrolled(alice):
    TotpFactor.objects.create(user=alice, secret="sealed-secret", confirmed_at=alice.date_joined)
    recovery_codes.replace(alice.pk)
    Passkey.objects.create(user=alice, credential_id="id", public_key=b"key", user_handle="h", name="Alice's key")
    User.objects.filter(pk=alice.pk).update(phone_number="+33612345678", phone_verified=True)
    return f"/admin/users/user/{alice.pk}/"


def test_factors_are_shown_without_secrets_and_the_number_masked(desk, enrolled):
    html = desk.get(f"{enrolled}change/").content.decode()
    assert "Alice&#x27;s key" in html
    assert "+33…78" in html
    for hidden in ("sealed-secret", "+33612345678", RecoveryCode.objects.first().digest):
        assert hidden not in html


def test_a_second_factor_is_removed_with_a_reason_that_is_told(desk, enrolled, run_tasks, mailoutbox):
    desk.post(f"{enrolled}second-factor/", {"reason": "Lost her phone, checked by video call"})
    assert not TotpFactor.objects.exists()
    assert not RecoveryCode.objects.exists()
    assert Passkey.objects.exists()
    event = SecurityEvent.objects.get(kind="mfa_disabled")
    assert event.detail == {"by": "admin", "reason": "Lost her phone, checked by video call"}
    assert LogEntry.objects.get().get_change_message() == "remove_second_factor"
    run_tasks()
    told = next(mail for mail in mailoutbox if mail.subject == "Your second factor is off · Alviar")
    assert "Lost her phone" in told.body


@pytest.mark.parametrize("reason", ["", "  ", "\x00"])
def test_without_a_reason_it_stays(desk, enrolled, reason):
    desk.post(f"{enrolled}second-factor/", {"reason": reason})
    assert TotpFactor.objects.exists()


def test_nobody_removes_their_own(desk, admin_person):
    TotpFactor.objects.create(user=admin_person, secret="x", confirmed_at=admin_person.date_joined)
    desk.post(f"/admin/users/user/{admin_person.pk}/second-factor/", {"reason": "because"})
    assert TotpFactor.objects.exists()


def test_a_get_or_a_stranger_removes_nothing(desk, enrolled, bob):
    assert "recovery codes stop working" in desk.get(f"{enrolled}second-factor/").content.decode()
    assert TotpFactor.objects.exists()
    assert desk.post("/admin/users/user/99999/second-factor/", {"reason": "x"}).status_code == 404
    other = Client()
    other.force_login(bob)
    assert other.post(f"{enrolled}second-factor/", {"reason": "x"}).status_code == 302
    assert TotpFactor.objects.exists()
