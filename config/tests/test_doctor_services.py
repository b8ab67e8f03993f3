"""`manage.py doctor` on what is outside: each thing that can be wrong is named, with what to do about it."""

import base64
import contextlib
import json
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chat.media import store
from config import doctor, doctor_services
from config.findings import Finding
from sessions.push import vapid
from tests import push_services
from tests.servers import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for our own servers however busy the machine is."""
    for module in (doctor, doctor_services):
        monkeypatch.setattr(module, "WAIT_SECONDS", 60.0)


def of(look: Callable[[], Iterator[Finding]], monkeypatch: Any) -> dict[str, Finding]:
    """Return the findings of one examination, as `examine` makes them."""
    [(subject, _, advice)] = [one for one in doctor.EXAMINATIONS if one[1] is look]
    with monkeypatch.context() as patch:
        patch.setattr(doctor, "EXAMINATIONS", [(subject, look, advice)])
        found = {finding.subject: finding for finding in doctor.examine()}
    assert all(finding.advice for finding in found.values() if finding.state != "ok")
    return found


@contextlib.contextmanager
def answering(status: int, body: bytes = b"{}") -> Iterator[tuple[str, list[Any]]]:
    """An HTTP server on loopback that answers every GET in one way; yields its URL and the requests' headers."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def line_server(*lines: bytes) -> Iterator[int]:
    """A TCP server that says one line at each connect and after each one that it reads; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                wire, _ = server.accept()
                with wire:
                    for line in lines:
                        wire.sendall(line)
                        if not wire.recv(4096):
                            return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(5)


# --- Attachments ------------------------------------------------------------------------------------------------------


def test_folder_is_written_read_and_left_as_it_was(settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    settings.MEDIA_ROOT = str(tmp_path)
    found = of(doctor_services.look_at_store, monkeypatch)["attachments"]
    assert (found.state, list(tmp_path.rglob("*"))) == ("ok", [])


def test_store_that_keeps_something_else_is_an_error(settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    class Lying(store.Folder):
        def save(self, key: str, source: Any, **options: Any) -> None:
            source.read(1)
            path = self.root / key
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")

    monkeypatch.setattr(store, "current", lambda: Lying(str(tmp_path)))
    [found] = doctor_services.look_at_store()
    assert (found.state, found.said) == ("error", "What was written is not read back.")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_store_that_is_away_is_an_error_that_hides_the_key(settings: Any, monkeypatch: Any) -> None:
    settings.STORAGE_URL = f"s3+http://key:s3cr3t@127.0.0.1:{free_port()}/bucket"
    found = of(doctor_services.look_at_store, monkeypatch)["attachments"]
    assert found.state == "error"
    assert "STORAGE_URL" in found.advice
    assert "s3cr3t" not in str(found)


def test_folder_that_cannot_be_written_is_an_error(settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "file").write_text("no folder")
    settings.MEDIA_ROOT = str(tmp_path / "file")
    assert of(doctor_services.look_at_store, monkeypatch)["attachments"].state == "error"


@pytest.mark.parametrize(
    ("answer", "state"),
    [(b"PONG\0", "ok"), (b"220 mail ESMTP\r\n", "error"), (None, "error")],
    ids=["clamd", "mail", "none"],
)
def test_scanner(answer: bytes | None, state: str, settings: Any, monkeypatch: Any) -> None:
    with line_server(answer or b"") as port:
        settings.ATTACHMENT_SCAN_URL = f"tcp://127.0.0.1:{port if answer else free_port()}"
        assert of(doctor_services.look_at_scanner, monkeypatch)["scanner"].state == state


def test_decoders_that_are_not_installed_are_a_warning(monkeypatch: Any) -> None:
    [found] = doctor_services.look_at_decoders()
    assert found.state == "ok"
    monkeypatch.setattr(doctor_services.importlib.util, "find_spec", lambda name: None)
    [found] = doctor_services.look_at_decoders()
    assert (found.state, "requirements-media.txt" in found.advice) == ("warning", True)


# --- SMS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"), [("", "No text message leaves"), ("console://", "printed")], ids=["none", "console"]
)
def test_texts_that_do_not_leave_are_a_warning(url: str, said: str, settings: Any, monkeypatch: Any) -> None:
    settings.SMS_URL = url
    found = of(doctor_services.look_at_sms, monkeypatch)["SMS"]
    assert found.state == "warning"
    assert said in found.said


def test_texts_in_a_folder_are_a_warning_and_one_that_cannot_be_made_is_an_error(
    settings: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    settings.SMS_URL = f"file://{tmp_path}/sms"
    assert of(doctor_services.look_at_sms, monkeypatch)["SMS"].state == "warning"
    (tmp_path / "file").write_text("no folder")
    settings.SMS_URL = f"file://{tmp_path}/file/sms"
    assert of(doctor_services.look_at_sms, monkeypatch)["SMS"].state == "error"


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, {"status": "active"}, "ok"),
        (200, {"status": "suspended"}, "error"),
        (401, {}, "error"),
        (404, {}, "error"),
        (503, {}, "warning"),
    ],
    ids=["active", "suspended", "token", "sid", "away"],
)
def test_twilio_is_asked_for_the_account_and_sends_nothing(
    status: int, body: dict[str, str], state: str, settings: Any, monkeypatch: Any
) -> None:
    from users.phone import senders

    settings.SMS_URL = "twilio://AC1:s3cr3t@+33600000000"
    with answering(status, json.dumps(body).encode()) as (url, asked):
        monkeypatch.setattr(senders.Twilio, "HOST", url)
        [found] = doctor_services.look_at_sms()
    assert found.state == state
    [(path, headers)] = asked
    assert path == "/2010-04-01/Accounts/AC1.json"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"AC1:s3cr3t"
    assert "s3cr3t" not in str(found)


def test_gateway_is_connected_to_and_asked_nothing(settings: Any, monkeypatch: Any) -> None:
    with answering(200) as (url, asked):
        settings.SMS_URL = f"{url.replace('//', '//me:s3cr3t@')}/send?to={{to}}&text={{text}}"
        assert of(doctor_services.look_at_sms, monkeypatch)["SMS"].state == "ok"
        assert asked == []
    settings.SMS_URL = f"http://me:s3cr3t@127.0.0.1:{free_port()}/send?to={{to}}&text={{text}}"
    found = of(doctor_services.look_at_sms, monkeypatch)["SMS"]
    assert (found.state, "s3cr3t" in str(found)) == ("error", False)


def test_gateway_elsewhere_without_tls_is_a_warning(settings: Any, monkeypatch: Any) -> None:
    settings.SMS_URL = "http://gateway.example/send?to={to}&text={text}"
    monkeypatch.setattr(doctor_services, "reach", lambda url: None)
    first, second = doctor_services.look_at_sms()
    assert (first.state, second.state) == ("warning", "ok")


# --- Push -------------------------------------------------------------------------------------------------------------


def test_push_that_is_not_configured_is_well_and_a_derived_key_is_a_warning(settings: Any, monkeypatch: Any) -> None:
    settings.PUBLIC_URL, settings.VAPID_SUBJECT = "https://chat.example.com", ""
    found = of(doctor_services.look_at_push, monkeypatch)
    assert {name: one.state for name, one in found.items()} == {
        "Web Push": "warning",
        "FCM": "ok",
        "APNs": "ok",
        "Expo": "ok",
    }
    settings.VAPID_PRIVATE_KEY = vapid.generate()
    assert of(doctor_services.look_at_push, monkeypatch)["Web Push"].state == "ok"


def test_contact_that_nobody_can_write_to_is_a_warning(settings: Any, monkeypatch: Any) -> None:
    settings.PUBLIC_URL, settings.VAPID_SUBJECT = "http://localhost:8000", ""
    found = of(doctor_services.look_at_push, monkeypatch)["Web Push"]
    assert (found.state, found.advice) == ("warning", "Set VAPID_SUBJECT.")


def test_fcm_proves_the_account_by_a_token(settings: Any, monkeypatch: Any) -> None:
    google = push_services.Google()
    try:
        settings.FCM_CREDENTIALS = google.account
        assert of(doctor_services.look_at_push, monkeypatch)["FCM"].state == "ok"
        assert [asked.path for asked in google.service.asked] == ["/token"], "no message is sent"
    finally:
        google.service.stop()
    account = json.loads(google.account)
    with push_services.service(lambda asked: (401, {}, b'{"error": "invalid_grant"}')) as service:
        settings.FCM_CREDENTIALS = json.dumps({**account, "token_uri": f"{service.url}/token"})
        assert of(doctor_services.look_at_push, monkeypatch)["FCM"].state == "error"
    settings.FCM_CREDENTIALS = "{}"
    assert "is missing" in of(doctor_services.look_at_push, monkeypatch)["FCM"].said


def test_apns_takes_a_whole_key_and_a_service_that_speaks_http_2(
    settings: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    settings.APNS_TOPIC = "com.example.app"
    assert "APNs needs" in of(doctor_services.look_at_push, monkeypatch)["APNs"].said
    key = ec.generate_private_key(ec.SECP256R1())
    settings.APNS_KEY = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    settings.APNS_KEY_ID, settings.APNS_TEAM_ID = "KEY", "TEAM"
    settings.APNS_URL = f"https://127.0.0.1:{free_port()}"
    assert of(doctor_services.look_at_push, monkeypatch)["APNs"].state == "error"
    service = push_services.AppleServer(tmp_path)
    try:
        settings.APNS_URL = service.url
        monkeypatch.setenv("SSL_CERT_FILE", service.certificate)
        [found] = [one for one in doctor_services.look_at_push() if one.subject == "APNs"]
        assert found.state == "ok", found
        assert service.asked == []
    finally:
        service.stop()


def test_expo_is_looked_at_only_where_somebody_is_pushed_to_by_it(settings: Any, monkeypatch: Any) -> None:
    settings.EXPO_URL = f"http://127.0.0.1:{free_port()}"
    assert of(doctor_services.look_at_push, monkeypatch)["Expo"].state == "ok"
    settings.EXPO_ACCESS_TOKEN = "s3cr3t"
    assert of(doctor_services.look_at_push, monkeypatch)["Expo"].state == "error"


# --- Telemetry --------------------------------------------------------------------------------------------------------


def test_telemetry_that_leads_nowhere_is_a_warning_that_hides_the_key(settings: Any, monkeypatch: Any) -> None:
    assert {one.state for one in of(doctor_services.look_at_telemetry, monkeypatch).values()} == {"ok"}
    with answering(200) as (url, _):
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = url
        settings.SENTRY_DSN = f"http://s3cr3t@127.0.0.1:{free_port()}/1"
        found = of(doctor_services.look_at_telemetry, monkeypatch)
    assert {name: one.state for name, one in found.items()} == {"traces": "ok", "error reports": "warning"}
    assert "SENTRY_DSN" in found["error reports"].advice
    assert "s3cr3t" not in str(found)


# --- Mail, clock, TLS -------------------------------------------------------------------------------------------------


def test_mail_server_that_refuses_the_password_is_an_error_that_hides_it(settings: Any, monkeypatch: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = False, False
    settings.EMAIL_HOST, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "127.0.0.1", "me", "s3cr3t"
    said = b"220 mail\r\n", b"250-mail\r\n250 AUTH PLAIN\r\n", b"535 s3cr3t is wrong\r\n", b"221 bye\r\n"
    with line_server(*said) as settings.EMAIL_PORT:
        settings.EMAIL_URL = f"smtp://me:s3cr3t@127.0.0.1:{settings.EMAIL_PORT}"
        found = of(doctor.look_at_mail, monkeypatch)["mail"]
    assert (found.state, smtplib.SMTPAuthenticationError.__name__ in found.said) == ("error", True), found
    assert "EMAIL_URL" in found.advice
    assert "s3cr3t" not in str(found)


def test_mail_server_without_tls_is_refused_where_tls_is_wanted(settings: Any, monkeypatch: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL, settings.EMAIL_HOST = True, False, "127.0.0.1"
    with line_server(b"220 mail\r\n", b"250 mail\r\n", b"221 bye\r\n") as settings.EMAIL_PORT:
        settings.EMAIL_URL = f"smtp+tls://127.0.0.1:{settings.EMAIL_PORT}"
        assert of(doctor.look_at_mail, monkeypatch)["mail"].state == "error"


def test_mail_without_tls_is_a_warning(settings: Any, monkeypatch: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = False, False
    settings.EMAIL_HOST, settings.EMAIL_HOST_USER = "127.0.0.1", ""
    with line_server(b"220 mail\r\n", b"250 ok\r\n", b"221 bye\r\n") as settings.EMAIL_PORT:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{settings.EMAIL_PORT}"
        assert of(doctor.look_at_mail, monkeypatch)["mail"].state == "warning"


def test_clock_that_is_wrong_is_an_error(settings: Any, monkeypatch: Any) -> None:
    with answering(200) as (url, _):
        settings.PUBLIC_URL = url
        found = of(doctor.look_at_public_url, monkeypatch)
        assert (found["public address"].state, found["clock"].state) == ("ok", "ok")
        date = doctor.datetime
        monkeypatch.setattr(doctor, "datetime", type("Late", (), {"now": lambda zone: date(2020, 1, 1, tzinfo=zone)}))
        findings = {finding.subject: finding for finding in doctor.look_at_public_url()}
    assert (findings["clock"].state, findings["clock"].advice) == ("error", "Run chrony or NTP.")


def test_public_address_that_leads_elsewhere_is_an_error(settings: Any, monkeypatch: Any) -> None:
    with answering(404) as (url, _):
        settings.PUBLIC_URL = url
        assert of(doctor.look_at_public_url, monkeypatch)["public address"].state == "error"


def test_certificate_that_nobody_trusts_is_an_error_and_one_that_ends_soon_a_warning(
    settings: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    certificate, key = push_services._certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as wire:
                        wire.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        settings.PUBLIC_URL = f"https://127.0.0.1:{port}"
        found = of(doctor.look_at_public_url, monkeypatch)["public address"]
        assert (found.state, "certificate" in found.advice) == ("error", True)
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        monkeypatch.setattr(doctor, "CERTIFICATE_DAYS", 0)
        assert doctor._certificate("127.0.0.1", port).state == "ok"
        monkeypatch.setattr(doctor, "CERTIFICATE_DAYS", 14)
        assert doctor._certificate("127.0.0.1", port).state == "warning", "it holds for a day"
        listener.shutdown(socket.SHUT_RDWR)
