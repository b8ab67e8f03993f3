"""Mails reach a mail server that speaks TLS, by either way of speaking it, and no other."""

import datetime
import ssl
import subprocess
import sys

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.conf import settings

from tests.servers import free_port

SEND = """
import django; django.setup()
from django.core.mail import send_mail
send_mail("Subject", "Text é", None, ["bob@example.com"])
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for `localhost` that signs itself; return its file and the key's."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


class Inbox:
    def __init__(self):
        self.mails, self.logins = [], []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((envelope.rcpt_tos, envelope.content, session.ssl is not None))
        return "250 OK"


@pytest.fixture(params=["starttls", "implicit"])
def mail_server(request, certificate):
    """Yield the inbox and the address of a server that takes mail by TLS alone, from whoever knows the password."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    inbox = Inbox()

    def authenticate(server, session, envelope, mechanism, data):
        inbox.logins.append((data.login, data.password))
        return AuthResult(success=(data.login, data.password) == (b"me@x", b"p/w"))

    more = {"authenticator": authenticate, "auth_required": True}
    port = free_port()
    if request.param == "starttls":
        tls = {"tls_context": context, "require_starttls": True}
        url = f"smtp+tls://me%40x:p%2Fw@localhost:{port}"
    else:
        tls = {"ssl_context": context, "auth_require_tls": False}
        url = f"smtps://me%40x:p%2Fw@localhost:{port}"
    more |= {"server_hostname": "localhost", "ready_timeout": 60}
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **tls, **more)
    controller.start()
    try:
        yield inbox, url
    finally:
        controller.stop()


def send(**environment):
    done = subprocess.run(
        [sys.executable, "-c", SEND],
        cwd=settings.BASE_DIR,
        env={"PATH": "/usr/bin", "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_mail_arrives_through_tls_with_the_password_as_it_was_meant(mail_server, certificate):
    inbox, url = mail_server
    code, said = send(EMAIL_URL=url, SSL_CERT_FILE=str(certificate[0]))
    assert code == 0, said
    [(to, content, _)] = inbox.mails
    assert to == ["bob@example.com"]
    assert b"Subject: Subject" in content
    assert inbox.logins == [(b"me@x", b"p/w")]


def test_a_server_that_nobody_vouches_for_gets_no_password(mail_server):
    inbox, url = mail_server
    code, said = send(EMAIL_URL=url)
    assert code != 0
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert inbox.logins == inbox.mails == []


@pytest.mark.parametrize("mail_server", ["starttls"], indirect=True)
def test_without_starttls_such_a_server_takes_nothing(mail_server, certificate):
    inbox, url = mail_server
    code, _ = send(EMAIL_URL=url.replace("smtp+tls", "smtp"), SSL_CERT_FILE=str(certificate[0]))
    assert code != 0
    assert inbox.mails == []
