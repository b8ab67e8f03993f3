"""Health endpoints. `/healthz`: the process is alive, regardless of the database. `/readyz`: it can serve requests.

    {"database": "ok" | "away", "layer": "memory" | "ok" | "degraded",
     "migrations": "ok" | "pending" | "unknown", "tasks": "ok" | "behind" | "unknown"}
`/readyz` is 503 if a request would be: the database is down, or its tables are older than the code. A Redis outage and
waiting tasks are reported but do not change the status, since requests are served.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection, connections
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from chat.hub import tell
from common import database_time, json
from common.request_id import sane_request_id
from config import metrics

# If a due task has waited this long, there are no workers or too few.
BEHIND = timedelta(seconds=60)
# A check of the stores that takes longer than this counts as an outage.
LOOK_SECONDS = 2.0

Health = dict[str, str]
Scope = dict[str, Any]
Answer = tuple[int, str, bytes]  # status, content type, body
NOBODY_KNOWS: Health = {"database": "away", "layer": "unknown", "migrations": "unknown", "tasks": "unknown"}


def look() -> Health:
    """Check everything that a request needs. Never raises."""
    found = {"database": "away", "layer": _layer(), "migrations": "unknown", "tasks": "unknown"}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        found["database"] = "ok"
        found["migrations"] = _migrations()
        if found["migrations"] == "ok":
            found["tasks"] = _tasks()
    except Exception:
        found["database"] = "away"
    return found


def is_ready(found: Health) -> bool:
    return found["database"] == "ok" and found["migrations"] == "ok"


@lru_cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    from django.db.migrations.loader import MigrationLoader

    return frozenset(MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes())


_migrated: list[bool] = []  # once migrated, it stays so while the process runs


def _migrations() -> str:
    from django.db.migrations.recorder import MigrationRecorder

    if not _migrated:
        if _known_migrations() - MigrationRecorder(connection).applied_migrations().keys():
            return "pending"
        _migrated.append(True)
    return "ok"


def _tasks() -> str:
    from django.db.models import Q
    from django_tasks_db.models import DBTaskResult

    now = timezone.now()
    # `ready()` are the due tasks; a task without a time has a date far in the future.
    long_due = Q(run_after__lt=now - BEHIND) | Q(run_after__gt=now) | Q(run_after__isnull=True)
    waiting = DBTaskResult.objects.ready().filter(long_due, enqueued_at__lt=now - BEHIND)
    return "behind" if waiting.exists() else "ok"


def _layer() -> str:
    """Return `memory`, `ok` or `degraded`; the shared cache answers or gives up within half a second."""
    if not settings.WAKES_URLS:
        return "memory"
    if tell.is_degraded():
        return "degraded"
    try:
        # Keys enough to meet every server among several.
        cache.get_many([f"readyz{n}" for n in range(16 if len(settings.REDIS_URLS) > 1 else 1)])
    except Exception:
        return "degraded"
    return "ok"


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    found = look()
    ready = is_ready(found)
    return JsonResponse(found, status=200 if ready else 503, headers={} if ready else {"Retry-After": "1"})


class ProbesGate:
    """ASGI wrapper that answers probes and scrapes before Django, without its threads, host checks or redirects."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="health")
        self.scraper = ThreadPoolExecutor(1, thread_name_prefix="scrape")
        self.looking: asyncio.Future[Health] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        answer = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}.get(scope["path"])
        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]} if answer else {}
        found = await answer(scope, said) if answer and scope["method"] in {"GET", "HEAD"} else None
        if found is None:
            await self.inner(scope, receive, send)
            return
        status, content_type, raw = found
        headers = {
            "content-type": content_type,
            "content-length": str(len(raw)),
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "x-request-id": sane_request_id(said.get("x-request-id")),
        } | ({"retry-after": "1"} if status == 503 else {})
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else raw})

    async def _healthz(self, scope: Scope, said: dict[str, str]) -> Answer:
        return 200, "application/json", json.dumps({"status": "ok"})

    async def _readyz(self, scope: Scope, said: dict[str, str]) -> Answer:
        """Check, or share a running check, so that a hanging store blocks only one thread."""
        if self.looking is None or self.looking.done():
            self.looking = asyncio.get_running_loop().run_in_executor(self.thread, _look_and_close)
        await asyncio.wait({self.looking}, timeout=LOOK_SECONDS)
        found = self.looking.result() if self.looking.done() else NOBODY_KNOWS
        return 200 if is_ready(found) else 503, "application/json", json.dumps(found)

    async def _metrics(self, scope: Scope, said: dict[str, str]) -> Answer | None:
        """Return the metrics if the caller may read them; None leads to Django's 404."""
        allowed = metrics.may_read(
            authorization=said.get("authorization", ""),
            remote_addr=str((scope.get("client") or [""])[0]),
            forwarded="x-forwarded-for" in said,
        )
        if not allowed:
            return None
        raw = await asyncio.get_running_loop().run_in_executor(self.scraper, _render_and_close)
        return 200, metrics.CONTENT_TYPE_LATEST, raw


def _look_and_close() -> Health:
    try:
        with database_time.limited(LOOK_SECONDS):
            return look()
    finally:
        _close()


def _render_and_close() -> bytes:
    try:
        return metrics.render()
    finally:
        _close()


def _close() -> None:
    if not settings.EMBEDDED_DATABASE:  # returns it to the pool; SQLite's stays open
        connections.close_all()
