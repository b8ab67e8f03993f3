"""What `manage.py doctor` looks at outside: the store of attachments, the scanner, decoders, SMS, push services.

Nothing is sent to any person. An account is proved by what costs nothing: an object written, read and deleted, an
access token, a look at the account, a TLS handshake.
"""

import importlib.util
import io
import os
import socket
import ssl
import urllib.request
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.findings import WAIT_SECONDS, Finding, ok

PROBE = b"written by manage.py doctor; it may be deleted"


def look_at_store() -> Iterator[Finding]:
    """Write, read and delete an object where attachments lie; follow a signed link as a client would."""
    from chat.media import store

    where = "the bucket of STORAGE_URL" if settings.STORAGE_URL else settings.MEDIA_ROOT
    kept, key = store.current(), f"doctor/{uuid.uuid4().hex}"
    kept.save(key, io.BytesIO(PROBE), content_type="text/plain", disposition="attachment")
    try:
        source = kept.open(key)
        read = source.read()
        source.close()
        link = kept.link(key)
        if read == PROBE and link is not None:
            with urllib.request.urlopen(link, timeout=WAIT_SECONDS) as answer:  # noqa: S310
                read = answer.read()
    finally:
        kept.delete(key)
    if read != PROBE:
        yield Finding("attachments", "error", "What was written is not read back.", "Look at what STORAGE_URL names.")
    else:
        yield ok("attachments", f"written, read and deleted in {where}")


def look_at_scanner() -> Iterator[Finding]:
    if not settings.ATTACHMENT_SCAN_URL:
        yield ok("scanner", "none: ATTACHMENT_SCAN_URL is not set")
        return
    parts = urlsplit(settings.ATTACHMENT_SCAN_URL)
    with socket.create_connection((parts.hostname or "", parts.port or 3310), WAIT_SECONDS) as wire:
        wire.sendall(b"zPING\0")
        answer = wire.recv(64).rstrip(b"\0\n")
    if answer == b"PONG":
        yield ok("scanner", "answers")
    else:
        yield Finding("scanner", "error", "What answers there is no clamd.", "Look at ATTACHMENT_SCAN_URL.")


def look_at_decoders() -> Iterator[Finding]:
    if importlib.util.find_spec("av") is None:
        said = "PyAV is not installed: video and voice notes are plain files, without poster, length and waveform."
        advice = "Install requirements-media.txt, or build the image with EXTRAS=media."
        yield Finding("video and sound", "warning", said, advice)
    else:
        yield ok("video and sound", "are decoded")


def look_at_sms() -> Iterator[Finding]:
    from users.phone import senders

    sender = senders.sender()
    if sender is None:
        yield Finding("SMS", "warning", "No text message leaves: telephones cannot be proved.", "Set SMS_URL.")
    elif isinstance(sender, senders.Console):
        yield Finding("SMS", "warning", "Text messages are printed.", "Set SMS_URL to a gateway.")
    elif isinstance(sender, senders.Folder):
        sender.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(sender.folder, os.W_OK):
            said = f"Text messages stay as files in {sender.folder}."
            yield Finding("SMS", "warning", said, "Set SMS_URL to a gateway.")
        else:
            yield Finding("SMS", "error", f"{sender.folder} cannot be written.", "Give the server the right to.")
    elif isinstance(sender, senders.Twilio):
        yield _twilio(sender.HOST, sender.sid, sender.token)
    elif isinstance(sender, senders.Gateway):
        parts = urlsplit(sender.url)
        if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
            yield Finding("SMS", "warning", "Codes go to the gateway unencrypted.", "Use https:// in SMS_URL.")
        reach(sender.url)
        yield ok("SMS", f"the gateway {parts.hostname} takes connections; whether it takes our texts only one shows")


def _twilio(host: str, sid: str, token: str) -> Finding:
    import httpx

    answer = httpx.get(f"{host}/2010-04-01/Accounts/{sid}.json", auth=(sid, token), timeout=WAIT_SECONDS)
    if answer.status_code in {401, 403, 404}:
        return Finding("SMS", "error", f"Twilio answers {answer.status_code}.", "Look at SID and token in SMS_URL.")
    if answer.status_code >= 300:
        return Finding("SMS", "warning", f"Twilio answers {answer.status_code}.", "Try again; look at its status page.")
    state = answer.json().get("status", "active")
    if state != "active":
        return Finding("SMS", "error", f"The account at Twilio is {state}.", "Look at its console.")
    return ok("SMS", "Twilio knows the account")


def look_at_push() -> Iterator[Finding]:
    from sessions.push import apns, fcm, vapid

    subject = vapid.subject()
    if urlsplit(subject).hostname in {"localhost", "127.0.0.1"} or subject.endswith("@localhost"):
        yield Finding("Web Push", "warning", f"Push services would write to {subject}.", "Set VAPID_SUBJECT.")
    elif not settings.VAPID_PRIVATE_KEY:
        said = "The key is derived from SECRET_KEY: changing that ends every browser's registration."
        yield Finding("Web Push", "warning", said, "Set VAPID_PRIVATE_KEY (manage.py push_keys).")
    else:
        yield ok("Web Push", f"has a key of its own; its contact is {subject}")
    for name, configured, look in (
        ("FCM", lambda: fcm.credentials() is not None, _fcm),
        ("APNs", lambda: apns.key() is not None, _apns),
        ("Expo", _is_expo_used, _expo),
    ):
        try:
            yield look() if configured() else ok(name, "not configured: no push goes there")
        except ImproperlyConfigured as error:
            yield Finding(name, "error", str(error), "docs/push.md says where each comes from.")
        except Exception as error:
            said, advice = f"{type(error).__name__} from its service.", "Look whether this server may connect to it."
            yield Finding(name, "error", said, advice)


def _fcm() -> Finding:
    from sessions.push import fcm

    account = fcm.credentials()
    if account is None or not fcm.Fcm()._access_token(account):
        return Finding("FCM", "error", "Google gives no token for the service account.", "Make a new key for it.")
    return ok("FCM", f"Google knows the service account of {account['project_id']}")


def _apns() -> Finding:
    reach(settings.APNS_URL, protocols=["h2"])
    return ok("APNs", f"the key is one, {urlsplit(settings.APNS_URL).hostname} speaks HTTP/2")


def _is_expo_used() -> bool:
    """Return whether pushes go to Expo: it needs no key, so that the settings alone do not tell."""
    from sessions.models import PushRegistration

    known = PushRegistration.objects.filter(provider=PushRegistration.Provider.EXPO)
    return settings.EXPO_PUSH and (bool(settings.EXPO_ACCESS_TOKEN) or known.exists())


def _expo() -> Finding:
    reach(settings.EXPO_URL)
    return ok("Expo", f"{urlsplit(settings.EXPO_URL).hostname} takes connections")


def look_at_telemetry() -> Iterator[Finding]:
    for subject, name in (("traces", "OTEL_EXPORTER_OTLP_ENDPOINT"), ("error reports", "SENTRY_DSN")):
        url = getattr(settings, name)
        if not url:
            yield ok(subject, "go nowhere: not set")
            continue
        try:
            reach(url)
            yield ok(subject, f"{urlsplit(url).hostname} takes connections")
        except OSError as error:
            said, name = (
                type(error).__name__,
                "SENTRY_DSN" if url == settings.SENTRY_DSN else "OTEL_EXPORTER_OTLP_ENDPOINT",
            )
            yield Finding(subject, "warning", f"Nothing leaves: {said}.", f"Look at {name}; all else goes on.")


def reach(url: str, protocols: list[str] | None = None) -> None:
    """Connect, with TLS where the URL says so. Raises OSError, and ConnectionError where no `protocols` is spoken."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    with socket.create_connection((parts.hostname or "", port), WAIT_SECONDS) as plain:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            context.set_alpn_protocols(protocols or ["http/1.1"])
            with context.wrap_socket(plain, server_hostname=parts.hostname) as wire:
                if protocols and wire.selected_alpn_protocol() not in protocols:
                    raise ConnectionError("another protocol")
