"""What the log says of a request, and what it must not say."""

import io
import json
import logging

import pytest
import structlog
from django.conf import settings as django_settings
from structlog.stdlib import ProcessorFormatter

from config import logs


@pytest.fixture
def lines():
    """Return the log's lines as JSON production writes them."""
    written = io.StringIO()
    logs.configure({"level": "INFO", "format": "json"})
    ours = [handler for handler in logging.getLogger().handlers if isinstance(handler.formatter, ProcessorFormatter)]
    ours[0].setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logs.configure(django_settings.LOGGING)


def test_a_request_is_one_line_with_its_id_and_person_and_without_its_query(alice_api, alice, lines):
    alice_api.get("/api/users/me/?token=s3cret", HTTP_X_REQUEST_ID="abcdefgh-42")
    (line,) = [line for line in lines() if line["event"] == "request"]
    assert line["path"] == "/api/users/me/"
    assert line["request_id"] == "abcdefgh-42"
    assert line["user_id"] == alice.pk
    assert (line["method"], line["status"]) == ("GET", 200)
    assert "s3cret" not in json.dumps(line)


def test_no_line_holds_a_token_or_a_password(api, alice, lines):
    answer = api.post("/api/auth/login/", {"username": "alice", "password": "alviar-demo"})
    api.post("/api/auth/token/refresh/", {"refresh": answer.data["refresh"]})
    api.get("/api/users/me/", HTTP_AUTHORIZATION=f"Bearer {answer.data['access']}")
    said = json.dumps(lines())
    assert "request" in said
    for secret in (answer.data["access"], answer.data["refresh"], "alviar-demo"):
        assert secret not in said


def test_a_line_break_in_a_path_stays_in_its_line(api, db, lines):
    api.get("/api/%0a%7b%22event%22:%22forged%22%7d/")
    assert [line["event"] for line in lines()] == ["request"]


def test_libraries_log_through_the_same_formatter(lines):
    logging.getLogger("some.library").warning("disk %s", "full")
    (line,) = lines()
    assert (line["event"], line["logger"], line["level"]) == ("disk full", "some.library", "warning")


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_line_of_ours_is_the_one_that_structlogs_own_formatter_writes(style):
    logs.configure({"level": "INFO", "format": style})
    try:
        ours = logging.getLogger().handlers[0].formatter
        theirs = ProcessorFormatter(processors=ours.processors, foreign_pre_chain=ours.foreign_pre_chain)
        records = []
        catcher = logging.Handler()
        catcher.emit = records.append
        logging.getLogger("lines").addHandler(catcher)
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            structlog.get_logger("lines").exception("broken", user_id=7, name="Zoë")
            (record,) = records
            line = ours.format(record)
            assert "ZeroDivisionError" in line
            assert line == theirs.format(record)
            assert line == ours.format(record), "formatting changed the record"
        finally:
            logging.getLogger("lines").removeHandler(catcher)
    finally:
        logs.configure(django_settings.LOGGING)
