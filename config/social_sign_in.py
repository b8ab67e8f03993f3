"""The page's way to a provider of sign-in: a redirect to its own page, which sends the ID token back in the fragment.

What comes back is checked where every ID token is (`auth/social/{provider}/`), against the nonce that the page keeps.
"""

import re
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.views.decorators.http import require_safe

from common.errors import ProviderUnavailable
from users.factors import oidc

OPAQUE = re.compile(r"[A-Za-z0-9-]{16,64}")


@require_safe
def begin(request: HttpRequest, provider: str) -> HttpResponseRedirect:
    """Redirect to the provider. `nonce` and `state` are the page's own random values.

    Source: OpenID Connect Core §3.2.2.1, the implicit flow with an ID token alone.
    """
    nonce, state = request.GET.get("nonce", ""), request.GET.get("state", "")
    if provider not in settings.SOCIAL_PROVIDERS or not (OPAQUE.fullmatch(nonce) and OPAQUE.fullmatch(state)):
        raise Http404
    question = {
        "client_id": settings.SOCIAL[provider]["client_ids"][0],
        "redirect_uri": f"{settings.PUBLIC_URL.rstrip('/')}/",
        "response_type": "id_token",
        "response_mode": "fragment",
        "scope": "openid email profile",
        "nonce": nonce,
        "state": state,
    }
    try:
        address = oidc.endpoint(provider, "authorization_endpoint")
    except ProviderUnavailable:
        # The page says it, as it does when somebody turns back at the provider's.
        response = HttpResponseRedirect(f"/#{urlencode({'error': 'provider_unavailable', 'state': state})}")
    else:
        response = HttpResponseRedirect(f"{address}{'&' if '?' in address else '?'}{urlencode(question)}")
    response["Cache-Control"] = "no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
