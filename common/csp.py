"""What a browser may run on our own pages: files of ours, nothing inline, nothing from outside."""

from typing import TypeVar

from django.http.response import HttpResponseBase

STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
Response = TypeVar("Response", bound=HttpResponseBase)


def strict(response: Response, **directives: str) -> Response:
    """Set the policy; `directives` replace single ones (`form_action="'none'"`)."""
    policy = {**STRICT, **{name.replace("_", "-"): value for name, value in directives.items()}}
    response["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
    return response
