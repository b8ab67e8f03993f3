"""The page at `/`: the client's own build, made in `client/page/` and committed under `config/static/app/`."""

from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.http import require_safe

from common import csp
from config import demo

THEME_COLOUR = "#2457d6"


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Render the page; the demo accounts are shown only while they can sign in."""
    language = translation.get_language() or "en"
    context = {
        "language": language,
        "direction": "rtl" if translation.get_language_bidi() else "ltr",
        "demo_people": " ".join(demo.PEOPLE) if demo.is_allowed() else "",
        "demo_password": demo.PASSWORD if demo.is_allowed() else "",
        "email_code": settings.EMAIL_CODE_LOGIN,
        "social": " ".join(settings.SOCIAL_PROVIDERS),
        "theme_colour": THEME_COLOUR,
    }
    response = render(request, "config/page.html", context)
    response["Content-Language"] = language
    response["Cache-Control"] = "no-cache"
    response["Cross-Origin-Opener-Policy"] = "same-origin"
    # Attachments are fetched with the token and shown as blob: URLs.
    return csp.strict(
        response,
        img_src="'self' data: blob:",
        media_src="blob:",
        connect_src=" ".join(["'self'", *_store_origin()]),
        worker_src="'self'",
        manifest_src="'self'",
    )


def _store_origin() -> list[str]:
    """Return the origin of the object store, to which downloads are redirected."""
    if not settings.STORAGE_URL:
        return []
    parts = urlsplit(settings.STORAGE_URL)
    scheme = "http" if parts.scheme.endswith("+http") else "https"
    return [f"{scheme}://{parts.netloc.rpartition('@')[2]}"]


@require_safe
def manifest(request: HttpRequest) -> JsonResponse:
    """Return the web app manifest."""
    icons = [
        {"src": f"{settings.STATIC_URL}app/{name}.png", "sizes": sizes, "type": "image/png", "purpose": purpose}
        for name, sizes, purpose in (
            ("icon-192", "192x192", "any"),
            ("icon-512", "512x512", "any"),
            ("icon-maskable-512", "512x512", "maskable"),
        )
    ]
    document = {
        "id": "/",
        "name": "Alviar",
        "short_name": "Alviar",
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": THEME_COLOUR,
        "categories": ["social"],
        "icons": icons,
    }
    response = JsonResponse(document, content_type="application/manifest+json")
    response["Cache-Control"] = "no-cache"
    return response


@require_safe
def service_worker(request: HttpRequest) -> HttpResponse:
    """Serve the service worker from the root: its path limits its scope."""
    found = finders.find("app/sw.js") or _collected("app/sw.js")
    if found is None:
        raise Http404
    response = HttpResponse(Path(found).read_bytes(), content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    return response


def _collected(name: str) -> str | None:
    path = Path(settings.STATIC_ROOT or "", name)
    return str(path) if settings.STATIC_ROOT and path.is_file() else None
