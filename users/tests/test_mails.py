"""Mails: what leaves, to whom, in which language, and what must never be in them."""

import email
import email.policy
import re
import smtplib
import socket
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
import structlog
import time_machine
from django.core import mail
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone, translation
from django_tasks_db.models import DBTaskResult

from common.client import Client
from users import security_events
from users.mail import enqueue, file_backend, letters, single_use, tasks, theme
from users.models import EmailVerificationToken, PasswordResetToken, User

pytestmark = pytest.mark.django_db
TOKEN = re.compile(r"#token=([0-9a-f-]{36})$", re.MULTILINE)


@pytest.fixture
def alice() -> User:
    return User.objects.create_user(
        "alice", email="Alice@example.com", password="correct horse battery", language="en", email_verified=True
    )


def sent(name: str, user: User, **kwargs) -> EmailMessage:
    tasks.send_mail.func(user.pk, name, **kwargs)
    return mail.outbox[-1]


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
@pytest.mark.parametrize("name", list(letters.LETTERS))
def test_every_mail_is_written_in_every_language(alice, name, language):
    alice.language = language
    alice.save()
    message = sent(name, alice)
    html = message.alternatives[0].content
    assert message.to == ["Alice@example.com"]
    assert "\n" not in message.subject
    assert f'lang="{language}"' in html
    assert ('dir="rtl"' in html) == (language == "ar")
    assert message.extra_headers["Content-Language"] == language


def test_an_unknown_language_gets_english_and_a_regional_one_its_language(alice):
    for wish, got in {"xx": "en", "fr-CA": "fr", "": "en", "../../etc": "en"}.items():
        alice.language = wish
        assert letters.spoken(alice, "") == got


def test_the_reset_link_is_made_from_the_public_url_and_only_its_digest_is_stored(alice, settings):
    settings.PUBLIC_URL = "https://chat.example.org"
    body = str(sent("password_reset", alice).body)
    raw = TOKEN.search(body)
    assert raw
    assert f"https://chat.example.org/reset-password/#token={raw[1]}" in body.splitlines()
    row = PasswordResetToken.objects.get()
    assert str(row.token) != raw[1]
    assert row.token == single_use.digest(single_use.uuid.UUID(raw[1]))
    assert row.token.version == 8


def test_a_newer_reset_link_voids_the_older(alice):
    sent("password_reset", alice)
    sent("password_reset", alice)
    assert PasswordResetToken.objects.get().is_used is False


def test_a_verification_goes_to_the_address_that_it_proves(alice):
    allowed_by = single_use.mark(alice, "email_change")
    message = sent("verify_email", alice, context={"email": "new@example.org", "allowed_by": allowed_by})
    assert message.to == ["new@example.org"]
    assert EmailVerificationToken.objects.get().email == "new@example.org"
    assert "alice" not in message.body  # no name to an address that nobody has proved


def test_a_reset_goes_to_the_stored_address_not_to_the_typed_one(alice):
    tasks.send_to_address.func("ALICE@EXAMPLE.COM ", "password_reset")
    assert mail.outbox[0].to == ["Alice@example.com"]


@pytest.mark.parametrize("typed", ["nobody@example.com", "", "alice@example.com\nBcc: eve@example.com", "alice"])
def test_an_unknown_address_gets_nothing(alice, typed):
    tasks.send_to_address.func(typed, "password_reset")
    assert mail.outbox == []
    assert not PasswordResetToken.objects.exists()


def test_a_disabled_person_gets_no_reset_and_a_verified_one_no_verification(alice):
    tasks.send_to_address.func("alice@example.com", "verify_email")
    alice.is_active = False
    alice.save()
    tasks.send_to_address.func("alice@example.com", "password_reset")
    sent_before = len(mail.outbox)
    tasks.send_mail.func(alice.pk, "password_changed")
    assert sent_before == len(mail.outbox) == 0


@pytest.mark.parametrize(
    "address", ["a@b.c\nBcc: eve@example.com", "a@example.com\r\nX: y", "no address", "a@b@c.example"]
)
def test_no_address_smuggles_a_header_in(alice, address):
    tasks.send_mail.func(alice.pk, "account_closed", to=address)
    assert mail.outbox == []


def test_only_what_is_optional_can_be_turned_off(alice):
    assert {"new_sign_in", "moderation_answered"} == letters.OPTIONAL
    alice.email_notifications = False
    alice.save()
    for name in letters.OPTIONAL:
        tasks.send_mail.func(alice.pk, name)
    assert mail.outbox == []
    for name in set(letters.LETTERS) - letters.OPTIONAL:
        tasks.send_mail.func(alice.pk, name)
    assert len(mail.outbox) == len(letters.LETTERS) - len(letters.OPTIONAL)


def test_a_closed_account_is_told_at_its_former_address_in_the_language_of_the_request(alice):
    User.objects.filter(pk=alice.pk).update(email="", is_active=False, closed_at=timezone.now(), username="deleted-1")
    tasks.send_mail.func(alice.pk, "account_closed", to="alice@example.com", language="ar")
    assert mail.outbox[0].to == ["alice@example.com"]
    assert mail.outbox[0].extra_headers["Content-Language"] == "ar"
    assert "deleted-1" not in mail.outbox[0].body


@pytest.mark.parametrize("model", ["evil.example", "Pixel https://evil.example/x", "call me@evil.example", "x" * 200])
def test_a_guesser_puts_no_link_of_theirs_into_our_mail(alice, model):
    agent = f"Mozilla/5.0 (Linux; Android 14; {model} Build/AP1A) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile"
    event = security_events.record(
        user_id=alice.pk, kind="lockout", at=timezone.now(), client=Client(ip_address="5.6.7.8", user_agent=agent)
    )
    message = sent("account_locked", alice, context={"event_id": str(event.pk)})
    assert "Germany" in message.body
    assert "evil" not in message.body + str(message.alternatives[0].content)
    assert "xxx" not in message.body


def test_a_device_is_named(alice):
    agent = (
        "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP1A) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36"
    )
    event = security_events.record(
        user_id=alice.pk, kind="new_device", at=timezone.now(), client=Client(ip_address="5.6.7.8", user_agent=agent)
    )
    assert "Pixel 8" in sent("new_sign_in", alice, context={"event_id": str(event.pk)}).body


def test_a_mail_that_names_no_event_tells_of_the_last_one_of_its_kind(alice):
    client = Client(ip_address="5.6.7.8")
    security_events.record(user_id=alice.pk, kind="password_changed", at=timezone.now(), client=client)
    assert "5.6.7.8" in sent("password_changed", alice).body
    with time_machine.travel(timezone.now() + timedelta(hours=2)):
        assert "5.6.7.8" not in sent("password_changed", alice).body


def test_another_persons_event_is_in_no_mail(alice, bob):
    event = security_events.record(
        user_id=bob.pk, kind="lockout", at=timezone.now(), client=Client(ip_address="5.6.7.8")
    )
    assert "5.6.7.8" not in sent("account_locked", alice, context={"event_id": str(event.pk)}).body


def test_asking_for_a_mail_stores_neither_secret_nor_address(alice, run_tasks):
    enqueue.send(alice.pk, "password_reset")
    row = DBTaskResult.objects.get()
    assert row.args_kwargs["kwargs"]["user_id"] == alice.pk
    assert "example.com" not in str(row.args_kwargs)
    assert mail.outbox == []
    run_tasks()
    secret = TOKEN.search(str(mail.outbox[0].body))[1]
    row.refresh_from_db()
    assert secret not in str([row.args_kwargs, row.return_value, row.traceback])


def test_what_is_rolled_back_mails_nothing(alice):
    with transaction.atomic():
        enqueue.send(alice.pk, "password_changed")
        transaction.set_rollback(True)
    assert not DBTaskResult.objects.exists()


def test_an_unknown_mail_is_a_mistake_at_once(alice):
    with pytest.raises(ValueError, match="is not a mail"):
        enqueue.send(alice.pk, "pasword_changed")


def test_a_mail_server_that_hangs_is_given_up_after_the_timeout(alice, settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        settings.EMAIL_TIMEOUT = 0.1
        with pytest.raises(tasks.MailNotSent, match="SMTPServerDisconnected"):
            tasks.send_mail.func(alice.pk, "password_changed")


def test_somebody_who_is_gone_is_no_error():
    tasks.send_mail.func(987_654, "password_changed")


@pytest.mark.parametrize(
    ("code", "raised"), [(450, tasks.MailNotSent), (550, tasks.MailRefused)], ids=["for now", "for good"]
)
def test_a_failing_mail_server_fails_the_task_without_telling_address_or_secret(alice, code, raised):
    refused = smtplib.SMTPRecipientsRefused({"Alice@example.com": (code, b"not this one")})
    with (
        structlog.testing.capture_logs() as logs,
        mock.patch.object(EmailMessage, "send", side_effect=refused),
        pytest.raises(raised) as failure,
    ):
        tasks.send_mail.func(alice.pk, "password_reset")
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__
    told = str(failure.value) + str(logs)
    assert "SMTPRecipientsRefused" in told
    assert "example.com" not in told
    assert "token=" not in told


def test_each_mail_is_a_file_of_its_own_with_the_link_on_one_readable_line(alice, settings, tmp_path):
    settings.EMAIL_BACKEND = "users.mail.file_backend.EmailBackend"
    settings.EMAIL_FILE_PATH = settings.MAIL_DIR = str(tmp_path / "mails")
    alice.language = "ar"
    alice.save()
    for _ in range(5):
        tasks.send_mail.func(alice.pk, "password_reset")
    files = sorted((tmp_path / "mails").iterdir())
    assert len(files) == 5
    for file in files:
        raw = file.read_text("utf-8")
        assert len(TOKEN.findall(raw)) == 1  # in the text part; the HTML part quotes it
        parsed = email.message_from_string(raw, policy=email.policy.default)
        assert "token=" in parsed.get_body(("plain",)).get_content()
        assert file.stat().st_mode & 0o077 == 0
    listed = file_backend.stored()
    assert [mail.name for mail in listed] == [file.name for file in reversed(files)]
    assert listed[0].to == "Alice@example.com"
    assert listed[0].language == "ar"
    assert TOKEN.search(listed[0].text)


@pytest.mark.parametrize(
    ("production", "folder", "printed"), [(False, "", True), (False, "x", False), (True, "", False)]
)
def test_a_link_is_printed_in_the_embedded_mode_alone(alice, settings, tmp_path, capfd, production, folder, printed):
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "users.mail.file_backend.EmailBackend", str(tmp_path)
    settings.PRODUCTION, settings.MAIL_DIR = production, folder
    tasks.send_mail.func(alice.pk, "password_reset")
    assert ("token=" in capfd.readouterr().err) is printed
    assert len(list(tmp_path.glob("*.eml"))) == 1


@pytest.mark.parametrize("name", ["../settings.py", "/etc/passwd", "x.eml", "..", ""])
def test_no_name_leads_out_of_the_mail_folder(settings, tmp_path, name):
    settings.EMAIL_FILE_PATH = str(tmp_path)
    assert file_backend.read(name) is None


# --- How they look ---


def test_the_theme_is_that_of_the_settings(alice, settings):
    settings.PRODUCT_NAME, settings.BRAND_COLOUR = "Parlons & Co", "#ffd54f"
    settings.BRAND_LOGO_URL, settings.BRAND_ADDRESS = "https://example.com/logo.png", "1 rue Didouche, Alger"
    message = sent("password_reset", alice)
    html = message.alternatives[0].content
    assert message.subject == "Choose a new password · Parlons & Co"
    assert "Parlons &amp; Co" in html
    assert 'src="https://example.com/logo.png"' in html
    assert 'fillcolor="#ffd54f"' in html
    assert "background:#ffd54f;color:#0c0f14" in html  # dark on a light colour
    assert message.body.rstrip().endswith("1 rue Didouche, Alger")


@pytest.mark.parametrize(("colour", "ink"), [("#0b5cad", "#ffffff"), ("#FFFFFF", "#0c0f14"), ("#000000", "#ffffff")])
def test_a_button_can_be_read(colour, ink):
    assert theme.ink_on(colour) == ink


def test_outlook_gets_a_button_and_everybody_the_whole_text(alice):
    message = sent("password_reset", alice)
    html = message.alternatives[0].content
    link = TOKEN.search(message.body)[0]
    assert html.count("<v:roundrect") == 1
    assert html.count(f"/reset-password/{link}") == 4  # Outlook's button, the others', and the address to copy
    for paragraph in ("Somebody, most likely you", "The link works once", "ignore this mail"):
        assert paragraph in message.body


def test_a_list_of_mails_shows_what_happened_and_no_code(alice):
    html = sent("password_changed", alice).alternatives[0].content
    assert re.search(r'mso-hide:all">The password of your account was changed\.', html)
    html = sent("email_code", alice, context={"code": "123456"}).alternatives[0].content
    assert html.partition("mso-hide:all")[2].partition("</div>")[0].count("123456") == 0


@pytest.mark.parametrize(
    ("language", "zone", "shown"),
    [
        ("en", "Africa/Algiers", "Thursday 26 November 2026, 17:50 (Algiers, UTC+1)"),
        ("en", "America/New_York", "Thursday, November 26, 2026, 11:50 AM (New York, UTC-5)"),
        ("en", "Asia/Kolkata", "Thursday 26 November 2026, 22:20 (Kolkata, UTC+5:30)"),
        ("en", "Nowhere/Atall", "Thursday 26 November 2026, 16:50 (UTC)"),
        ("fr", "America/New_York", "jeudi 26 novembre 2026, 11:50 (New York, UTC-5)"),
        ("ar", "Africa/Algiers", "الخميس 26 نوفمبر 2026، 17:50 (\u2066Algiers, UTC+1\u2069)"),
    ],
)
def test_times_are_the_readers_own(alice, language, zone, shown):
    alice.language, alice.timezone = language, zone
    with translation.override(language), timezone.override(letters.clock(alice)):
        assert letters.moment(datetime(2026, 11, 26, 16, 50, tzinfo=UTC)) == shown
