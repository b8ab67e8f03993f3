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
        return JsonResponse({"status": "unavailable", "database": "away", "layer": _layer()}, status=503)
    return JsonResponse({"status": "ok", "database": "ok", "layer": _layer()})


def _layer() -> str:
    if not settings.REDIS_URLS:
        return "memory"
    try:
        cache.get("readyz")
    except Exception:
        return "degraded"
    return "ok"
