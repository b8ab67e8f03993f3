"""`manage.py doctor`: what is wrong, and what to do about it."""

import io

import pytest
from django.core.management import call_command

from config import doctor
from tests.servers import free_port

pytestmark = pytest.mark.django_db


def run():
    out = io.StringIO()
    code = 0
    try:
        call_command("doctor", stdout=out)
    except SystemExit as end:
        code = end.code
    return code, out.getvalue()


def of(look):
    return {finding.subject: finding for finding in look()}


def test_everything_is_looked_at_and_what_is_wrong_has_an_advice(settings):
    settings.EMAIL_URL = f"smtp+tls://me:s3cr3t@127.0.0.1:{free_port()}"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    settings.EMAIL_USE_TLS, settings.EMAIL_USE_SSL = True, False
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"
    code, said = run()
    assert code == 1
    for subject in ("settings", "database", "Redis", "media", "mail", "public address"):
        assert subject in said
    assert "ERROR   mail: ConnectionRefusedError" in said
    assert "-> Look at EMAIL_URL" in said
    assert "ERROR   public address" in said
    assert "s3cr3t" not in said


def test_no_mail_server_is_a_warning_of_its_own(settings):
    settings.EMAIL_URL = ""
    settings.EMAIL_FILE_PATH = "/var/mails"
    assert of(doctor.look_at_mail)["mail"].state == "warning"


def test_a_disk_that_is_full_is_told(settings, tmp_path, monkeypatch):
    settings.MEDIA_ROOT = str(tmp_path / "media")
    assert of(doctor.look_at_disk)["media"].state == "ok"
    usage = type("Usage", (), {"free": 10, "total": 10**12})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    assert of(doctor.look_at_disk)["media"].state == "error"


def test_tables_older_than_the_code_are_told(monkeypatch):
    monkeypatch.setattr(doctor.health, "_migrations", lambda: "pending")
    assert of(doctor.look_at_database)["migrations"].state == "error"


def test_an_examination_that_fails_is_a_finding_and_not_a_traceback(monkeypatch):
    def fails():
        raise RuntimeError("no\nway")
        yield

    monkeypatch.setattr(doctor, "EXAMINATIONS", [("x", fails, "Do this.")])
    assert list(doctor.examine()) == [doctor.Finding("x", "error", "RuntimeError: no way", "Do this.")]


@pytest.mark.live
def test_a_server_that_is_well_is_found_well(settings, tmp_path):
    from config.tests.test_server import started

    with started("run", tmp_path) as server:
        settings.PUBLIC_URL = f"http://127.0.0.1:{server.port}"
        found = of(doctor.look_at_public_url)
    assert {finding.state for finding in found.values()} == {"ok"}
    assert {"public address", "clock"} <= found.keys()
