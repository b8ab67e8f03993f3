"""Traces and error reports against services of our own on loopback: what leaves, and above all what does not."""

import gzip
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
from django.conf import settings as django_settings

from config import telemetry
from tests import live

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


@contextmanager
def service() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """An HTTP server that takes every POST; yields its URL and what it was sent."""
    taken: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", taken
    finally:
        server.shutdown()
        server.server_close()


# --- Traces -----------------------------------------------------------------------------------------------------------


def spans_of(body: bytes) -> list[tuple[str, dict[str, Any], Any]]:
    """Return name, attributes and the whole of each span that a collector was sent."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    found = []
    for resource in request.resource_spans:
        names = {one.key: one.value.string_value for one in resource.resource.attributes}
        assert names["service.name"] == "alviar-test"
        for scope in resource.scope_spans:
            for span in scope.spans:
                values = {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}
                found.append((span.name, values, span))
    return found


@pytest.mark.live
async def test_requests_and_messages_have_spans_that_hold_no_secret() -> None:
    with (
        service() as (collector, taken),
        live.server(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector, OTEL_SERVICE_NAME="alviar-test", TRACE_SAMPLE_RATIO="1"
        ) as server,
    ):
        alice, bob = server.person(), server.person()
        room = alice.direct(bob)
        assert server.call("GET", f"/api/users/me/?token={alice.access}", token=alice.access)[0] == 200
        assert server.call("GET", "/no/such/path-with-a-secret/")[0] == 404
        hears, says = await bob.open(), await alice.open()
        await says.send("message", conversation_uuid=room, content="what nobody else reads", ref=1)
        ack = await says.next("ack")
        await hears.events(1, kind="message.created")
        await says.send("message", conversation_uuid=room, content="", ref=2)
        await says.next("error")
        for wire in (hears, says):
            await wire.close()
        server.stop()
    assert {path for path, _headers, _body in taken} == {"/v1/traces"}
    spans = [span for _path, _headers, body in taken for span in spans_of(body)]
    requests = {name: values for name, values, _span in spans if name.startswith(("GET", "POST"))}
    me = requests["GET /api/users/me/"]
    assert (me["http.response.status_code"], me["http.route"]) == (200, "/api/users/me/")
    assert me["request.id"]
    assert requests["POST /api/auth/login/"]["http.response.status_code"] == 200
    assert requests["GET"]["http.response.status_code"] == 404, "a path that is no route has no name"
    good, bad = [values for name, values, _span in spans if name == "chat.message"]
    assert (good["chat.conversation"], good["chat.seq"]) == (room, ack["seq"])
    assert bad["error.type"] == "validation_error"
    fan_out = [span for span in spans if span[0] == "chat.fan_out" and span[1]["chat.seq"] == ack["seq"]]
    [message] = [span for name, values, span in spans if name == "chat.message" and values.get("chat.seq")]
    assert len(fan_out) == 1
    start, end = message.start_time_unix_nano, message.end_time_unix_nano
    assert start < fan_out[0][2].start_time_unix_nano < fan_out[0][2].end_time_unix_nano <= end
    everything = b"".join(body for _path, _headers, body in taken)
    for secret in (
        alice.access,
        bob.refresh,
        "what nobody else reads",
        live.PASSWORD,
        alice.name,
        "token=",
        "a-secret",
    ):
        assert secret.encode() not in everything


def test_what_is_off_is_not_even_imported() -> None:
    look = "import sys, django; django.setup(); from common import tracing; from django.conf import settings as s; "
    look += "print([name for name in ('opentelemetry.exporter', 'sentry_sdk') if name in sys.modules], tracing.tracer, "
    look += "[one for one in s.MIDDLEWARE if 'telemetry' in one])"
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    done = subprocess.run(
        [sys.executable, "-c", look],
        cwd=django_settings.BASE_DIR,
        env=environment | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[] None []\n"


# --- Error reports ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sentry(settings: Any) -> Iterator[list[dict[str, Any]]]:
    """Report to a Sentry of our own; `flush` first. The events that it was sent."""
    import sentry_sdk

    events: list[dict[str, Any]] = []
    with service() as (url, taken):
        settings.SENTRY_DSN, settings.SENTRY_ENVIRONMENT = url.replace("//", "//public@") + "/1", "test"
        telemetry.start_reports()
        root = logging.getLogger()
        [handler] = [one for one in root.handlers if isinstance(one, telemetry.Reports)]

        class Events(list[dict[str, Any]]):
            def flush(self) -> None:
                sentry_sdk.flush(5)
                for path, _headers, body in taken:
                    assert path == "/api/1/envelope/"
                    lines = body.split(b"\n")
                    kinds = [json.loads(line).get("type") for line in lines[1::2] if line]
                    self.extend(
                        json.loads(line) for kind, line in zip(kinds, lines[2::2], strict=False) if kind == "event"
                    )

        events = Events()
        try:
            yield events
        finally:
            root.removeHandler(handler)
            sentry_sdk.get_client().close(timeout=2)
            sentry_sdk.init()


def test_an_error_is_reported_without_anybodys_secrets(sentry: Any) -> None:
    log = structlog.get_logger("chat.test")
    token, content = SECRET, "what nobody else reads"
    try:
        raise RuntimeError(
            f"no answer to https://me:pw@host/path?token={token} for alice@example.com, +33 6 12 34 56 78"
        )
    except RuntimeError:
        log.exception("test.failed", access=token, content=content, user_id=7, ip_address="192.0.2.7")
    log.warning("test.only_a_warning")
    sentry.flush()
    [event] = sentry
    assert (event["message"], event["logger"], event["level"]) == ("test.failed", "chat.test", "error")
    assert (event["environment"], event["release"].startswith("alviar@")) == ("test", True)
    [one] = event["exception"]["values"]
    assert (one["type"], one["value"]) == ("RuntimeError", "no answer to https://[…]host/path[…] for […], […]")
    assert one["stacktrace"]["frames"][-1]["function"] == "test_an_error_is_reported_without_anybodys_secrets"
    told = json.dumps(event)
    for secret in (token, content, "alice", "192.0.2.7", "pw@", '"vars"', "12 34"):
        assert secret not in told
    assert not {"request", "user", "extra", "server_name", "breadcrumbs"} & event.keys()


@pytest.mark.django_db
def test_what_a_database_says_of_a_row_stays_here(sentry: Any, alice: Any) -> None:
    from django.db import IntegrityError, transaction

    try:
        with transaction.atomic():
            type(alice).objects.create_user(username="alice", email="other@example.com", password="x")
    except IntegrityError:
        logging.getLogger("users").error("users.failed", exc_info=True)
    sentry.flush()
    [event] = sentry
    assert event["message"] == "users.failed"
    kinds = {one["type"]: one["value"] for one in event["exception"]["values"]}
    assert "IntegrityError" in kinds
    assert set(kinds.values()) == {""}


def test_faults_of_the_exporters_themselves_are_not_reported(sentry: Any) -> None:
    for name in ("opentelemetry.exporter", "sentry_sdk.errors", "urllib3.connectionpool"):
        logging.getLogger(name).error("away")
    sentry.flush()
    assert sentry == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Bearer abc.def", "[…]"),
        (f"token {SECRET[:20]}", "token […]"),
        ("redis://:pw@host:6379/0 is away", "redis://[…]host:6379/0 is away"),
        ("key 0123456789abcdef0123456789abcdef", "key […]"),
        ("chat.media.store failed after 10 s", "chat.media.store failed after 10 s"),
    ],
    ids=["bearer", "jwt", "url", "digest", "plain"],
)
def test_scrubbing(text: str, left: str) -> None:
    assert telemetry.scrubbed(text) == left


def test_addresses_are_checked_at_the_start() -> None:
    from environs import validate

    from config import environment

    for good in ("", "https://public@errors.example.com/1", "http://key@127.0.0.1:9000/42"):
        environment.sentry_dsn(good)
    for bad in ("https://errors.example.com/1", "https://key@errors.example.com", "key"):
        with pytest.raises(validate.ValidationError):
            environment.sentry_dsn(bad)
    environment.otlp_endpoint("http://collector:4318")
    with pytest.raises(validate.ValidationError):
        environment.otlp_endpoint("collector:4318")
