"""Traces by OpenTelemetry and error reports by Sentry, each where its setting asks for it; off otherwise.

Both are our own few lines: the libraries' automatic instrumentation writes URLs with their query strings, headers and
local variables, which hold tokens. docs/observability.md says what leaves.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from common import tracing
from config import VERSION

# --- Traces -----------------------------------------------------------------------------------------------------------

_provider: Any = None


async def start_traces() -> None:
    """Begin to make and export spans, in a process that serves."""
    global _provider
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    resource = {"service.name": settings.OTEL_SERVICE_NAME, "service.version": VERSION, "process.pid": os.getpid()}
    _provider = TracerProvider(
        resource=Resource.create(resource),  # type: ignore[arg-type]
        sampler=ParentBased(TraceIdRatioBased(settings.TRACE_SAMPLE_RATIO)),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces", timeout=5)
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    tracing.tracer = _provider.get_tracer("alviar", VERSION)


async def stop_traces() -> None:
    """Export what is there, for a few seconds at most, and end."""
    global _provider
    if _provider is not None:
        tracing.tracer, provider, _provider = None, _provider, None
        provider.force_flush(3_000)
        provider.shutdown()


class TracingMiddleware:
    """One span for each request, by its route: never its path, whose parts may say who it is about."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        from config.http import RECEIVED_AT

        self.get_response, self.received_at = get_response, RECEIVED_AT

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if tracing.tracer is None:
            return self.get_response(request)
        waited = time.perf_counter() - request.META.get(self.received_at, time.perf_counter())
        span = tracing.tracer.start_span("request", start_time=time.time_ns() - int(waited * 1e9))
        response = self.get_response(request)
        match = request.resolver_match
        route = f"/{match.route}" if match else ""
        span.update_name(f"{request.method} {route}".rstrip())
        span.set_attribute("http.request.method", request.method or "")
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", response.status_code)
        span.set_attribute("request.id", response.headers.get("X-Request-ID", ""))
        span.end()
        return response


# --- Error reports ----------------------------------------------------------------------------------------------------

SECRETS = [
    re.compile(pattern)
    for pattern in (
        r"eyJ[\w-]{8,}(?:\.[\w-]*)*",  # a JWT, or its beginning
        r"(?i)\bbearer\s+\S+",
        r"(?<=://)[^\s/@]+@",  # user and password in an address
        r"\?[^\s\"')]*",  # a query string
        r"[\w.+-]+@[\w-]+\.[\w.-]+",  # an address of mail
        r"\b[A-Za-z0-9_-]{24,}\b",  # a key, a token, a digest
        r"\+?\d[\d ()-]{7,}\d",  # a telephone number
    )
]
# What these say quotes rows: contents, addresses, names.
QUOTING = ("psycopg", "sqlite3", "django.db", "redis", "msgspec", "json")
QUIET = ("opentelemetry", "sentry_sdk", "urllib3")


def scrubbed(text: str) -> str:
    """Return a text without what looks like a secret or a person's own."""
    for pattern in SECRETS:
        text = pattern.sub("[…]", text)
    return text


def before_send(event: Any, hint: Any) -> Any:
    """Leave of an event what tells of our code: types, places, scrubbed words; no request, person, variable, host."""
    for name in ("request", "user", "extra", "contexts", "breadcrumbs", "modules", "server_name"):
        event.pop(name, None)
    for one in (event.get("exception") or {}).get("values", []):
        quotes = str(one.get("module") or "").startswith(QUOTING)
        one["value"] = "" if quotes else scrubbed(str(one.get("value") or ""))
        for frame in (one.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    if "message" in event:
        event["message"] = scrubbed(str(event["message"]))
    return event


class Reports(logging.Handler):
    """Report what the log says at ERROR, with its exception: the name of the event and no field of it."""

    def emit(self, record: logging.LogRecord) -> None:
        import sentry_sdk
        from sentry_sdk.utils import event_from_exception

        if record.name.startswith(QUIET):
            return
        try:
            fields = record.msg if isinstance(record.msg, dict) else {"event": record.msg, "exc_info": record.exc_info}
            info = fields.get("exc_info")
            if isinstance(info, BaseException):
                info = (type(info), info, info.__traceback__)
            elif info and not isinstance(info, tuple):
                info = sys.exc_info()
            event: Any = {}
            if info and info[0] is not None:
                event, _hint = event_from_exception(info, client_options=sentry_sdk.get_client().options)
            event |= {"message": str(fields["event"]), "logger": record.name, "level": record.levelname.lower()}
            sentry_sdk.capture_event(event)
        except Exception:
            self.handleError(record)


def start_reports() -> None:
    """Send what is logged as an error to SENTRY_DSN, in every process of ours."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        release=f"alviar@{VERSION}",
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        server_name="",
        shutdown_timeout=2,
        before_send=before_send,
    )
    root = logging.getLogger()
    if not any(isinstance(handler, Reports) for handler in root.handlers):
        root.addHandler(Reports(logging.ERROR))
