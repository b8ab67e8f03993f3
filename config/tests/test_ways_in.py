"""Settings of passkeys, providers and text messages: checked at start-up, with what is wrong."""

import pytest
from environs import validate

from config import ways_in
from config.tests.test_settings import loaded, start


@pytest.mark.parametrize(
    "app",
    ["ios:ABCDE12345.org.alviar.app", "android:org.alviar.app:" + "ab" * 32, "android:a.b:" + ":".join(["AB"] * 32)],
)
def test_apps_that_are_taken(app):
    ways_in.passkey_app(app)


@pytest.mark.parametrize(
    "app", ["", "x", "ios:org.alviar", "android:org.alviar.app", "android:a.b:ff", "web:a.b:" + "ab" * 32]
)
def test_apps_that_are_none(app):
    with pytest.raises(validate.ValidationError):
        ways_in.passkey_app(app)


def test_origins_are_pages_and_apps_of_ours():
    apps = ["ios:ABCDE12345.org.alviar.app", "android:org.alviar.app:" + "00" * 32]
    assert ways_in.passkey_origins("https://chat.example.com/x", ["https://web.example.com"], "example.com", apps) == [
        "https://chat.example.com",
        "https://web.example.com",
        "https://example.com",
        "android:apk-key-hash:" + "A" * 43,
    ]


@pytest.mark.parametrize(
    ("url", "good"),
    [("https://id.example.com", True), ("http://127.0.0.1:9000", True), ("http://localhost:1", True),
     ("http://id.example.com", False), ("id.example.com", False)],
)  # fmt: skip
def test_issuers(url, good):
    if good:
        return ways_in.issuer(url)
    with pytest.raises(validate.ValidationError):
        ways_in.issuer(url)


@pytest.mark.parametrize("url", ["", "console://", "file:///x", "twilio://A:b@+1", "https://g/?to={to}&text={text}"])
def test_senders(url):
    ways_in.sms_url(url)


@pytest.mark.parametrize("url", ["file://", "smtp://x", "twilio://A", "file://host/x"])
def test_no_senders(url):
    with pytest.raises(validate.ValidationError):
        ways_in.sms_url(url)


def test_a_provider_is_set_up_by_the_environment():
    found = loaded(
        SOCIAL_PROVIDERS="google,acme",
        SOCIAL_GOOGLE_CLIENT_IDS="g",
        SOCIAL_ACME_ISSUER="http://127.0.0.1:9",
        SOCIAL_ACME_CLIENT_IDS="a,b",
    )
    assert (found.SOCIAL["acme"]["issuer"], found.SOCIAL["acme"]["client_ids"]) == ("http://127.0.0.1:9", ["a", "b"])
    assert found.RP_ID == "localhost"


def test_what_is_missing_or_unsafe_is_named():
    code, said = start(
        SOCIAL_PROVIDERS="acme,globex,google",
        SOCIAL_GLOBEX_ISSUER="http://id.example.com",
        SOCIAL_GLOBEX_CLIENT_IDS="a",
        SMS_URL="smtp://x",
        SMS_COUNTRIES="XX",
        PASSKEY_APPS="x",
    )
    assert code != 0
    for name in (
        "SOCIAL_ACME_ISSUER", "SOCIAL_GLOBEX_ISSUER", "SOCIAL_GOOGLE_CLIENT_IDS", "SMS_URL", "SMS_COUNTRIES",
        "PASSKEY_APPS",
    ):  # fmt: skip
        assert name in said
