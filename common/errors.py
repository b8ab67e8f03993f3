"""Application errors as classes, and `envelope`, which turns each into the common error body.

Services raise an `ApplicationError`; `exception_handler` (DRF) and the handlers below (everything outside DRF) return
it to the client. `code`, `reason` and `action` are stable, `detail` is translated.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog
from django.core.exceptions import PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions

from common import json
from common.caching import NO_STORE
from common.request_id import current_request_id, request_id_set, sane_request_id

if TYPE_CHECKING:
    from rest_framework.response import Response

log = structlog.get_logger(__name__)

REFUSAL = "alviar.refusal"  # in `META`: the bridge's refusal of a request, to be answered inside of Django
WWW_AUTHENTICATE = 'Bearer realm="api"'


class ApplicationError(Exception):
    """Base class of all expected errors.

    `status` HTTP status; `code` and `reason` stable names; `action` what the client should do; `retry_after` seconds;
    `extra` further keys of the body.
    """

    status = 400
    code = "error"
    reason = ""
    action = "none"
    detail: Any = _("The request was refused.")

    def __init__(self, detail: Any = None, *, reason: str = "", retry_after: float | None = None, **extra: Any) -> None:
        self.detail = detail or self.detail
        self.reason = reason or self.reason
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))
        self.extra = extra
        super().__init__(self.code, self.reason)


class NotAuthenticated(ApplicationError):
    status, code, action = 401, "not_authenticated", "login"
    detail = _("Authentication credentials were not provided.")


class NoActiveAccount(ApplicationError):
    """Wrong credentials, unknown or inactive user: the same response for all three."""

    status, code = 401, "no_active_account"
    detail = _("No active account found with the given credentials.")


class TokenNotValid(ApplicationError):
    """`reason`: expired, invalid, wrong_type, session_revoked, session_expired, user_inactive, token_reused."""

    status, code, action = 401, "token_not_valid", "refresh"
    detail = _("The token is not valid.")
    reason = "invalid"
    LOGIN = {"session_revoked", "session_expired", "user_inactive", "token_reused"}

    def __init__(self, reason: str = "invalid", *, refresh_token: bool = False) -> None:
        super().__init__(TOKEN_DETAILS.get(reason), reason=reason)
        self.action = "login" if refresh_token or reason in self.LOGIN else "refresh"


TOKEN_DETAILS: dict[str, Any] = {
    "expired": _("The token has expired."),
    "wrong_type": _("The token is of the wrong type."),
    "session_revoked": _("This session has been signed out."),
    "session_expired": _("This session has ended. Please sign in again."),
    "user_inactive": _("This account is no longer active."),
    "token_reused": _("This token was already used. For your safety the session has been signed out."),
}


class AccountLocked(ApplicationError):
    status, code, action = 429, "account_locked", "wait"
    detail = _("Too many failed attempts. Please try again later.")

    def __init__(self, *, locked_until: datetime, retry_after: float) -> None:
        super().__init__(retry_after=retry_after, locked_until=locked_until)


class Throttled(ApplicationError):
    status, code, action = 429, "throttled", "wait"
    detail = _("Too many requests. Please slow down.")


class SlowMode(Throttled):
    """A member's next message in a group with slow mode has to wait `retry_after` seconds."""

    reason = "slow_mode"
    detail = _("Slow mode is on in this group. Please wait before your next message.")


class EmailNotVerified(ApplicationError):
    status, code, action = 403, "email_not_verified", "verify_email"
    detail = _("Please verify your e-mail address first.")


class RegistrationClosed(ApplicationError):
    status, code = 403, "registration_closed"
    detail = _("Registration is closed.")


class PermissionRefused(ApplicationError):
    status, code = 403, "permission_denied"
    detail = _("You do not have permission to perform this action.")


class Blocked(ApplicationError):
    status, code = 403, "blocked"
    detail = _("You cannot write to this person.")


class AccountClosed(PermissionRefused):
    """No more messages in a direct conversation: the other user has closed the account."""

    reason = "account_closed"
    detail = _("This person has closed their account.")


class NotFound(ApplicationError):
    status, code = 404, "not_found"
    detail = _("Not found.")


class IdempotencyConflict(ApplicationError):
    status, code = 409, "idempotency_conflict"
    detail = _("This client_msg_id was already used for another content.")


class InvalidOrExpiredToken(ApplicationError):
    status, code = 400, "invalid_or_expired_token"
    detail = _("This link is invalid or has expired.")


class TemporarilyUnavailable(ApplicationError):
    status, code, action = 503, "temporarily_unavailable", "retry"
    detail = _("The service is temporarily unavailable. Please try again.")

    def __init__(self, *, retry_after: float = 1) -> None:
        super().__init__(retry_after=retry_after)


class InvalidCode(ApplicationError):
    """An invalid code or credential, for any reason."""

    status, code = 400, "invalid_code"
    detail = _("This code is not valid.")


class MfaRequired(ApplicationError):
    """Carries `mfa_token`, `methods` and `expires_in`."""

    status, code, action = 401, "mfa_required", "mfa"
    detail = _("Please confirm that it is you by your second factor.")


class ReauthenticationRequired(ApplicationError):
    """Carries `methods`."""

    status, code, action = 403, "reauthentication_required", "reauthenticate"
    detail = _("Please confirm that it is you first.")


class InvalidIdToken(ApplicationError):
    status, code = 401, "invalid_id_token"
    detail = _("The sign-in of the other provider was not accepted.")


class AccountExists(ApplicationError):
    status, code, action = 409, "account_exists", "login"
    detail = _("There is an account with this address already. Sign in to it first, then link the other one.")


class LastFactor(ApplicationError):
    status, code = 409, "last_factor"
    detail = _("This is the last way into your account. Add another one first.")


class PasskeysUnavailable(ApplicationError):
    status, code = 409, "passkeys_unavailable"
    detail = _("Passkeys need a site with a name, not an IP address.")


class ProviderUnavailable(ApplicationError):
    status, code, action = 503, "provider_unavailable", "retry"
    detail = _("The other provider does not answer. Please try again.")

    def __init__(self, *, retry_after: float = 2) -> None:
        super().__init__(retry_after=retry_after)


class SmsRefused(ApplicationError):
    status, code, action = 429, "sms_refused", "wait"
    detail = _("No more text messages can be sent for now.")


class ValidationFailed(ApplicationError):
    """`errors` maps a field to its list of `{"message", "code"}`."""

    status, code = 400, "validation_error"
    detail = _("Some fields are not valid.")

    def __init__(self, errors: Mapping[str, list[dict[str, Any]]]) -> None:
        super().__init__(errors=dict(errors))

    @classmethod
    def of(cls, field: str, code: str, message: Any) -> "ValidationFailed":
        """Return the error of one field."""
        return cls({field: [{"message": message, "code": code}]})


def envelope(error: ApplicationError) -> dict[str, Any]:
    """Return the body: detail, code, reason?, action, retry_after?, request_id and the error's own keys."""
    body: dict[str, Any] = {"detail": str(error.detail), "code": error.code}
    if error.reason:
        body["reason"] = error.reason
    body["action"] = error.action
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    body["request_id"] = current_request_id()
    return {**body, **error.extra}


def headers(error: ApplicationError) -> dict[str, str]:
    """Return the headers that go with the status: WWW-Authenticate (RFC 6750 §3), Retry-After (RFC 9110 §10.2.3)."""
    if error.status == 401:
        return {"WWW-Authenticate": WWW_AUTHENTICATE}
    if error.retry_after is not None:
        return {"Retry-After": str(error.retry_after)}
    return {}


def _flat(detail: Any) -> list[dict[str, Any]]:
    """Flatten the errors of one field, however nested, to `{"message", "code"}`."""
    if isinstance(detail, Mapping):
        return [error for value in detail.values() for error in _flat(value)]
    if isinstance(detail, list | tuple):
        return [error for value in detail for error in _flat(value)]
    return [{"message": str(detail), "code": getattr(detail, "code", "invalid")}]


def from_exception(exc: BaseException) -> ApplicationError | None:
    """Return the product's error for an exception of DRF, Django or the database; None for one that nobody foresaw."""
    match exc:
        case ApplicationError():
            return exc
        case exceptions.ValidationError(detail=detail):
            by_field = detail if isinstance(detail, Mapping) else {"non_field_errors": detail}
            return ValidationFailed({field: _flat(errors) for field, errors in by_field.items()})
        case Http404():
            return NotFound()
        case PermissionDenied() | exceptions.PermissionDenied():
            return PermissionRefused(getattr(exc, "detail", None))
        case exceptions.NotAuthenticated():
            return NotAuthenticated()
        case exceptions.Throttled():
            return Throttled(retry_after=getattr(exc, "wait", None) or 1)
        case OperationalError() | InterfaceError():
            return TemporarilyUnavailable()
        case DataError():  # a value that does not fit the column and was not validated before
            return ValidationFailed.of("non_field_errors", "invalid", ValidationFailed.detail)
        case exceptions.APIException(status_code=status):
            error = ApplicationError(exc.detail if isinstance(exc.detail, str) else str(exc.detail))
            error.status, error.code = status, str(getattr(exc.detail, "code", exc.default_code))
            if status == 401:
                error.action = "login"
            return error
    if type(exc).__name__ in {"PoolTimeout", "TooManyRequests"}:  # of psycopg_pool, imported only with PostgreSQL
        return TemporarilyUnavailable()
    return None


def exception_handler(exc: Exception, context: dict[str, Any]) -> "Response | None":
    """Answer every exception of a DRF view with the envelope."""
    # DRF's views import the authentication classes, which import this module.
    from rest_framework.response import Response
    from rest_framework.views import set_rollback

    error = from_exception(exc)
    if error is None:
        return None
    set_rollback()
    return Response(envelope(error), status=error.status, headers=headers(error))


def respond(error: ApplicationError) -> HttpResponse:
    """Return the response of an error outside DRF: middleware, unknown paths, Django's own handlers."""
    return HttpResponse(
        json.dumps(envelope(error)), status=error.status, headers=headers(error), content_type="application/json"
    )


def refusal_answer(
    error: ApplicationError, inbound_request_id: str | None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, headers and body of a refusal outside of Django."""
    request_id = sane_request_id(inbound_request_id)
    with request_id_set(request_id):
        body = json.dumps(envelope(error))
    fields = {"content-type": "application/json", "content-length": str(len(body)), "x-request-id": request_id}
    fields["cache-control"] = NO_STORE
    if error.retry_after is not None:
        fields["retry-after"] = str(error.retry_after)
    return error.status, [(name.encode(), value.encode()) for name, value in fields.items()], body


class InternalError(ApplicationError):
    status, code, action = 500, "internal", "retry"
    detail = _("Something went wrong on our side.")


class BadRequest(ApplicationError):
    code = "bad_request"
    detail = _("The request could not be understood.")


class MethodNotAllowed(ApplicationError):
    status, code = 405, "method_not_allowed"
    detail = _("This method is not allowed here.")


class TooLarge(ApplicationError):
    status, code = 413, "too_large"
    detail = _("The request body is too large.")


class RequestTimedOut(ApplicationError):
    status, code, action = 408, "request_timeout", "retry"
    detail = _("The request took too long to arrive.")


class UpgradeRequired(ApplicationError):
    status, code = 426, "upgrade_required"
    detail = _("This version of the WebSocket protocol is not supported.")


class HeadersTooLarge(ApplicationError):
    status, code = 431, "headers_too_large"
    detail = _("The request headers are too large.")


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """handler404: the envelope everywhere; the product has no HTML for an unknown path."""
    return respond(NotFound())


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return respond(PermissionRefused())


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return respond(BadRequest())


def server_error(request: HttpRequest) -> HttpResponse:
    """handler500. Returns 503 if the database is down, and 400 for a value that it cannot store."""
    import sys

    raised = sys.exc_info()[1] or Exception()
    error = from_exception(raised)
    return respond(error if error and (error.status == 503 or isinstance(raised, DataError)) else InternalError())
