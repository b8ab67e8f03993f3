from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from common import json
from users.factors import apps


@require_safe
def apple(request: HttpRequest) -> HttpResponse:
    return _answer(json.dumps(apps.apple()))


@require_safe
def android(request: HttpRequest) -> HttpResponse:
    return _answer(json.dumps(apps.android()))


def _answer(body: bytes) -> HttpResponse:
    response = HttpResponse(body, content_type="application/json")
    response["Cache-Control"] = "public, max-age=3600"
    return response


urlpatterns: list[URLPattern] = [
    path(".well-known/apple-app-site-association", apple),
    path(".well-known/assetlinks.json", android),
]
