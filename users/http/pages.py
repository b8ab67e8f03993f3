"""HTML pages behind the links in mails, for users without the app, and the mailbox of embedded mode.

The secret of a link is in the URL fragment, which browsers do not send: a GET cannot spend it. The page's script
removes it from the address bar at once and sends it only to the API, when the reader confirms.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import password_validators_help_texts
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils import translation
from django.utils.translation import get_supported_language_variant
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from common import csp
from common.loopback import is_loopback
from users.mail import file_backend, unsubscribing


def page(request: HttpRequest, template: str, context: dict[str, Any] | None = None, **directives: str) -> HttpResponse:
    """Render in the language of `?lang=`, else of Accept-Language; not cached, and no Referer is sent from the page."""
    language = chosen(request)
    with translation.override(language):
        shown = {
            **(context or {}),
            "language": language,
            "direction": "rtl" if translation.get_language_bidi() else "ltr",
            "languages": settings.LANGUAGES,
            "product": settings.PRODUCT_NAME,
            "app_url": settings.PUBLIC_APP_URL,
        }
        response = render(request, template, shown)
    response["Content-Language"] = language
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    response["Cross-Origin-Opener-Policy"] = "same-origin"
    return csp.strict(response, **directives)


def chosen(request: HttpRequest) -> str:
    try:
        return get_supported_language_variant(request.GET.get("lang", ""))
    except LookupError:
        return translation.get_language() or "en"


@require_safe
def reset_password(request: HttpRequest) -> HttpResponse:
    with translation.override(chosen(request)):
        rules = [str(text) for text in password_validators_help_texts() if text]
    # Forms are submitted by the script; without it the browser must not put a password into a URL.
    return page(request, "users/page/reset_password.html", {"rules": rules}, form_action="'none'")


@require_safe
def verify_email(request: HttpRequest) -> HttpResponse:
    return page(request, "users/page/verify_email.html", form_action="'none'")


@require_safe
def was_it_you(request: HttpRequest) -> HttpResponse:
    return page(request, "users/page/was_it_you.html", form_action="'none'")


@csrf_exempt  # a mail program posts it without a cookie (RFC 8058); the ticket says whose switch it is
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest) -> HttpResponse:
    """Ask on GET, act on POST: by the button of this page, or by a mail program's own."""
    user = unsubscribing.whose(request.GET.get("ticket", ""))
    if user and request.method == "POST":
        unsubscribing.turn_off(user)
    state = "unknown" if user is None else "done" if request.method == "POST" else "asked"
    return page(request, "users/page/unsubscribe.html", {"state": state})


# --- /dev/mail/ -------------------------------------------------------------------------------------------------------


def mailbox_is_open(request: HttpRequest) -> bool:
    """Return whether mails are files, the database is embedded, and server, client and Host are this machine.

    The Host is checked because a foreign page could point its DNS name at this machine and read the mails (DNS
    rebinding); a forwarding header means that the client is another machine.
    """
    host = request.META.get("HTTP_HOST", "")
    name = host if host.startswith("[") and host.endswith("]") else host.rpartition(":")[0] or host
    return (
        settings.EMBEDDED_DATABASE
        and not settings.PRODUCTION
        and settings.EMAIL_BACKEND == "users.mail.file_backend.EmailBackend"
        and is_loopback(settings.HOST)
        and is_loopback(name)
        and is_loopback(request.META.get("REMOTE_ADDR", ""))
        and not {"HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"} & set(request.META)
    )


View = Callable[..., HttpResponse]


def embedded_only(view: View) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not mailbox_is_open(request):
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


@require_safe
@embedded_only
def mailbox(request: HttpRequest) -> HttpResponse:
    return page(request, "users/page/mailbox.html", {"mails": file_backend.stored()})


@require_safe
@embedded_only
def mailed(request: HttpRequest, name: str) -> HttpResponse:
    mail = file_backend.read(name)
    if mail is None:
        raise Http404
    lines = [(line, line.startswith(("http://", "https://"))) for line in mail.text.splitlines()]
    return page(request, "users/page/mail.html", {"mail": mail, "lines": lines}, frame_src="'self'")


@require_safe
@embedded_only
@xframe_options_sameorigin
def mailed_html(request: HttpRequest, name: str) -> HttpResponse:
    """Serve the HTML part without scripts: sandboxed by its own CSP and by the frame around it."""
    mail = file_backend.read(name)
    if mail is None:
        raise Http404
    # Its links open in a new tab, since the sandboxed frame cannot follow them.
    response = HttpResponse(mail.html.replace("<head>", '<head><base target="_blank">', 1))
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return csp.strict(
        response,
        script_src="'none'",
        connect_src="'none'",
        style_src="'unsafe-inline'",
        img_src=f"'self' data: {settings.BRAND_LOGO_URL}".strip(),
        frame_ancestors="'self'",
        sandbox="allow-popups allow-popups-to-escape-sandbox",
    )


urlpatterns: list[URLPattern] = [
    path("reset-password/", reset_password, name="reset-password"),
    path("verify-email/", verify_email, name="verify-email"),
    path("was-it-you/", was_it_you, name="was-it-you"),
    path("unsubscribe/", unsubscribe, name="unsubscribe"),
    path("dev/mail/", mailbox, name="mailbox"),
    path("dev/mail/<str:name>/", mailed, name="mailed"),
    path("dev/mail/<str:name>/html/", mailed_html, name="mailed-html"),
]
