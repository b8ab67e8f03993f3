"""`/metrics` for Prometheus: the metrics of `common/metrics.py` summed over all processes, and the waiting tasks.

`METRICS_PORT` is a separate port on 127.0.0.1, served by a thread, so that a busy event loop does not delay it. The
main port requires `METRICS_TOKEN`; if neither is set, loopback may read the metrics.
"""

import hmac
import ipaddress
import socket
import threading
from collections.abc import Iterable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

import config
from common.errors import NotFound, respond
from common.metrics import HASHING as HASHING  # for config/http.py
from common.metrics import IS_SHARED, REQUEST_SECONDS, REQUESTS

log = structlog.get_logger(__name__)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def count(request: HttpRequest, status: int, seconds: float) -> None:
    """Count a response by its URL pattern: raw paths would let anybody create new time series."""
    match = request.resolver_match
    method = request.method if request.method in METHODS else "other"
    _requests(method, match.route if match else "unknown", status).inc()
    REQUEST_SECONDS.observe(seconds)


@lru_cache(maxsize=4096)
def _requests(method: str, route: str, status: int) -> Counter:
    return REQUESTS.labels(method, route, status)


class FromTheDatabase(Collector):
    """Collector of the tasks by state, from the database; empty while it is down."""

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        from django.db.models import Count
        from django_tasks_db.models import DBTaskResult

        info = GaugeMetricFamily("alviar_info", "Always 1.", labels=["version"])
        info.add_metric([config.VERSION], 1)
        yield info
        try:
            counts = dict(DBTaskResult.objects.order_by().values_list("status").annotate(Count("id")))
        except Exception as error:
            log.debug("metrics.database_away", error=type(error).__name__)
            return
        tasks = GaugeMetricFamily("alviar_tasks", "Tasks by state.", labels=["state"])
        for state in ("READY", "RUNNING", "FAILED"):
            tasks.add_metric([state.lower()], counts.get(state, 0))
        yield tasks


def render() -> bytes:
    """Return the metrics of all processes in Prometheus' text format."""
    registry = CollectorRegistry()
    if IS_SHARED:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    registry.register(FromTheDatabase())
    return (b"" if IS_SHARED else generate_latest(REGISTRY)) + generate_latest(registry)


def may_read(*, authorization: str, remote_addr: str, forwarded: bool) -> bool:
    """Return whether a client of the main port may read the metrics."""
    if settings.METRICS_TOKEN:
        return hmac.compare_digest(authorization.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    # Behind a proxy every client seems to be on loopback.
    if forwarded or settings.TRUSTED_PROXY_COUNT or settings.METRICS_PORT:
        return False
    try:
        return ipaddress.ip_address(remote_addr).is_loopback
    except ValueError:
        return False


def metrics(request: HttpRequest) -> HttpResponse:
    allowed = may_read(
        authorization=request.headers.get("Authorization", ""),
        remote_addr=request.META.get("REMOTE_ADDR", ""),
        forwarded="HTTP_X_FORWARDED_FOR" in request.META,
    )
    return HttpResponse(render(), content_type=CONTENT_TYPE_LATEST) if allowed else respond(NotFound())


class _Handler(BaseHTTPRequestHandler):
    timeout = 5
    server_version, sys_version = "alviar", ""

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/metrics"
        token = settings.METRICS_TOKEN
        said = self.headers.get("Authorization", "").encode()
        if token and not hmac.compare_digest(said, f"Bearer {token}".encode()):
            found = False
        try:
            body = render() if found else b"Only /metrics is here.\n"
        finally:
            connection.close()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST if found else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("metrics.read")


class MetricsServer(ThreadingHTTPServer):
    """HTTP server on a listening socket shared by all processes, each of which has the metrics of all."""

    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Stop accepting requests; returns at once."""
        threading.Thread(target=self.shutdown, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("metrics.client_gone")


def serve(listener: socket.socket) -> MetricsServer:
    return MetricsServer(listener)
