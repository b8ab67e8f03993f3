"""The pages that mails lead to, and the mailbox of the embedded mode: what they refuse, say and send along."""

import re

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from users.mail import tasks
from users.models import PasswordResetToken, User

PAGES = ["/reset-password/", "/verify-email/", "/was-it-you/"]
LOCAL = {"HTTP_HOST": "localhost:8000", "REMOTE_ADDR": "127.0.0.1"}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_a_page_takes_nothing_but_get(client, path, method):
    assert getattr(client, method)(path).status_code == 405


@pytest.mark.django_db
def test_a_get_spends_no_secret_even_with_it_in_the_query(client):
    user = User.objects.create_user("alice", email="alice@example.com", password="correct horse battery")
    from users.mail import single_use

    raw = single_use.issue(PasswordResetToken, user)
    for path in PAGES:
        page = client.get(path, {"token": str(raw)})
        assert str(raw) not in page.content.decode()
    assert not PasswordResetToken.objects.get().is_used


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_nothing_inline_and_leaves_no_trace(client, path):
    page = client.get(path)
    html = page.content.decode()
    policy = page["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page["Cache-Control"] == "no-store"
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["X-Content-Type-Options"] == "nosniff"
    assert page["X-Frame-Options"] == "DENY"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", html)
    assert "<noscript>" in html
    assert not page.cookies
    for asset in re.findall(r'(?:src|href)="/static/([^"]+)"', html):
        assert finders.find(asset)


@pytest.mark.parametrize(
    ("header", "query", "language", "direction"),
    [
        ("ar", "", "ar", "rtl"),
        ("fr-CA,fr;q=0.9", "", "fr", "ltr"),
        ("de", "", "en", "ltr"),
        ("fr", "?lang=ar", "ar", "rtl"),
        ("fr", "?lang=xx", "fr", "ltr"),
        ("fr", "?lang=%00%22%3E", "fr", "ltr"),
    ],
)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_speaks_the_readers_language(client, path, header, query, language, direction):
    page = client.get(path + query, headers={"accept-language": header})
    assert page["Content-Language"] == language
    assert f'<html lang="{language}" dir="{direction}">' in page.content.decode()


def test_the_password_rules_are_shown(client):
    html = client.get("/reset-password/").content.decode()
    assert "at least 8" in html
    assert "at most 128" in html


@pytest.fixture
def mails(settings, tmp_path):
    settings.EMAIL_BACKEND = "users.mail.file_backend.EmailBackend"
    settings.EMAIL_FILE_PATH = settings.MAIL_DIR = str(tmp_path)
    settings.EMBEDDED_DATABASE, settings.PRODUCTION, settings.HOST = True, False, "127.0.0.1"
    settings.ALLOWED_HOSTS = ["*"]
    return settings


@pytest.fixture
def letter(mails, db):
    user = User.objects.create_user("alice", email="alice@example.com", password="x" * 12, language="ar")
    tasks.send_mail.func(user.pk, "password_reset")
    from users.mail import file_backend

    return file_backend.stored()[0]


def test_the_mailbox_lists_and_shows_mails_with_a_link_to_click(letter):
    browser = Client(**LOCAL)
    assert f"/dev/mail/{letter.name}/" in browser.get("/dev/mail/").content.decode()
    shown = browser.get(f"/dev/mail/{letter.name}/")
    assert re.search(r'<a href="http://[^"]+/reset-password/#token=[0-9a-f-]{36}" dir="ltr">', shown.content.decode())
    html = browser.get(f"/dev/mail/{letter.name}/html/")
    assert "sandbox allow-popups" in html["Content-Security-Policy"]
    assert "script-src 'none'" in html["Content-Security-Policy"]


@pytest.mark.parametrize(
    "foreign",
    [
        {"HTTP_HOST": "evil.example"},
        {"HTTP_HOST": "localhost.evil.example:8000"},
        {"REMOTE_ADDR": "192.0.2.7"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
    ],
)
def test_the_mailbox_is_for_this_machine_alone(letter, foreign):
    browser = Client(**{**LOCAL, **foreign})
    for path in ["/dev/mail/", f"/dev/mail/{letter.name}/", f"/dev/mail/{letter.name}/html/"]:
        answer = browser.get(path)
        assert answer.status_code == 404
        assert b"token=" not in answer.content


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("EMBEDDED_DATABASE", False),
        ("PRODUCTION", True),
        ("HOST", "0.0.0.0"),
        ("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend"),
    ],
)
def test_the_mailbox_is_for_the_embedded_mode_alone(letter, mails, setting, value):
    setattr(mails, setting, value)
    assert Client(**LOCAL).get("/dev/mail/").status_code == 404


@pytest.mark.parametrize("name", ["..", "..%2Fsecret_key", "x", "%2Fetc%2Fpasswd"])
def test_the_mailbox_shows_no_other_file(mails, name):
    assert Client(**LOCAL).get(f"/dev/mail/{name}/").status_code == 404


def test_a_forged_host_never_gets_into_a_link(letter, client):
    page = client.get("/reset-password/", headers={"host": "evil.example", "x-forwarded-host": "evil.example"})
    assert b"evil.example" not in page.content


@pytest.mark.parametrize("path", [*PAGES, "/unsubscribe/"])
def test_a_page_leads_on_to_sign_in_and_to_the_app(client, path, settings, db):
    assert "Open the app" not in client.get(path).content.decode()
    settings.PUBLIC_APP_URL, settings.PRODUCT_NAME = "alviar://home?from=mail", "Parlons"
    html = client.get(path).content.decode()
    assert '<a href="/">Go to sign-in</a> <a href="alviar://home?from=mail">Open the app</a>' in html
    assert "· Parlons</title>" in html
