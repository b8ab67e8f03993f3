"""`/metrics` for Prometheus: requests by path pattern and status, tasks that wait, threads that hash.

Each process counts for itself; with several workers a scrape sees one of them, so scrape often or read the logs.
"""

import hmac
import ipaddress
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

from common.errors import NotFound, respond

REQUESTS = Counter("alviar_http_requests_total", "Requests answered.", ["method", "path", "status"])
SECONDS = Histogram(
    "alviar_http_seconds",
    "From the first byte of a request to its answer, waiting for a thread included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HASHING = Gauge("alviar_hashing", "Requests that hash a password, running and waiting.")
TASKS = Gauge("alviar_tasks", "Tasks by state.", ["state"])
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def count(request: HttpRequest, status: int, seconds: float) -> None:
    """Count one answer under its pattern: a path as typed would make a new series for every stranger's typing."""
    match = request.resolver_match
    method = request.method if request.method in METHODS else "other"
    REQUESTS.labels(method, match.route if match else "unknown", status).inc()
    SECONDS.observe(seconds)


def _may_read(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        said = request.headers.get("Authorization", "").encode()
        return hmac.compare_digest(said, f"Bearer {settings.METRICS_TOKEN}".encode())
    # Through a proxy everybody comes from loopback.
    if "HTTP_X_FORWARDED_FOR" in request.META or settings.TRUSTED_PROXY_COUNT:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        return respond(NotFound())
    from django_tasks_db.models import DBTaskResult

    for state, rows in _states(DBTaskResult):
        TASKS.labels(state).set(rows())
    return HttpResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)


def _states(model: type) -> list[tuple[str, Callable[[], int]]]:
    rows = model.objects.all()  # type: ignore[attr-defined]
    return [(state, getattr(rows, state)().count) for state in ("ready", "running", "failed")]
