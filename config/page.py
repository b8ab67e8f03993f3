"""The page at `/`: the client's own build, made in `client/page/` and committed under `config/static/app/`."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.http import require_safe

from common import csp
from config import demo


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Render the page; the demo accounts are shown only while they can sign in."""
    language = translation.get_language() or "en"
    context = {
        "language": language,
        "direction": "rtl" if translation.get_language_bidi() else "ltr",
        "demo_people": " ".join(demo.PEOPLE) if demo.is_allowed() else "",
        "demo_password": demo.PASSWORD if demo.is_allowed() else "",
    }
    response = render(request, "config/page.html", context)
    response["Content-Language"] = language
    response["Cache-Control"] = "no-cache"
    response["Cross-Origin-Opener-Policy"] = "same-origin"
    # Attachments are fetched with the token and shown as blob: URLs.
    return csp.strict(response, img_src="'self' data: blob:", media_src="blob:")
