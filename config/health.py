"""`/healthz`: the process answers. `/readyz`: the database is there too; Redis away is `degraded`, still 200."""

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse


def healthz(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:
        away = {"status": "unavailable", "database": "away", "layer": _layer()}
        return JsonResponse(away, status=503, headers={"Retry-After": "1"})
    return JsonResponse({"status": "ok", "database": "ok", "layer": _layer()})


def _layer() -> str:
    """Return `memory`, `ok` or `degraded`; the shared cache answers or gives up within half a second."""
    if not settings.REDIS_URLS:
        return "memory"
    try:
        # Keys enough to meet every server among several.
        cache.get_many([f"readyz{n}" for n in range(16 if len(settings.REDIS_URLS) > 1 else 1)])
    except Exception:
        return "degraded"
    return "ok"
