"""The errors that each operation can answer, by code, for the OpenAPI document.

The tests' clients hold every refusal that they get against this list, so that none is missing; what a proxy or the
server itself answers before an operation is reached (408, 431) stands in `docs/errors.md`.
"""

from typing import Any

from chat.media.errors import (
    Infected,
    OffsetConflict,
    QuotaExceeded,
    RangeNotSatisfiable,
    UnknownTusVersion,
    UploadBusy,
    WrongMediaType,
)
from common.errors import (
    AccountClosed,
    AccountExists,
    AccountLocked,
    ApplicationError,
    BadRequest,
    Blocked,
    EmailNotVerified,
    IdempotencyConflict,
    InternalError,
    InvalidCode,
    InvalidIdToken,
    InvalidOrExpiredToken,
    LastFactor,
    MethodNotAllowed,
    MfaRequired,
    NoActiveAccount,
    NotAuthenticated,
    NotFound,
    PasskeysUnavailable,
    PermissionRefused,
    ProviderUnavailable,
    ReauthenticationRequired,
    RegistrationClosed,
    SmsRefused,
    TemporarilyUnavailable,
    Throttled,
    TokenNotValid,
    TooLarge,
    ValidationFailed,
)
from config.operations import AUTH, CHAT, CONVERSATION, ME
from users.factors.recovery_codes import NoSecondFactor

Kind = type[ApplicationError]


class ParseError(ApplicationError):
    """DRF's own, for a body that is not JSON."""

    code = "parse_error"
    detail = "The body is not JSON."


class NotAcceptable(ApplicationError):
    """DRF's own, for an `Accept` that has no JSON."""

    status, code = 406, "not_acceptable"
    detail = "The answer is JSON only."


EVERYWHERE: tuple[Kind, ...] = (
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    TooLarge,
    WrongMediaType,
    InternalError,
    TemporarilyUnavailable,
)
SIGNED_IN = (NotAuthenticated, TokenNotValid)
# Every way in ends in the same function.
WAY_IN = (AccountLocked, EmailNotVerified, MfaRequired, NoActiveAccount, Throttled)
PASSWORD_OR_FRESH = (AccountLocked, ReauthenticationRequired)
TUS = (UnknownTusVersion,)

# What an operation answers beyond what follows from its shape, see `_of`.
REFUSALS: dict[tuple[str, str], tuple[Kind, ...]] = {
    ("post", f"{AUTH}register/"): (RegistrationClosed, Throttled),
    ("post", f"{AUTH}verify-email/"): (InvalidOrExpiredToken, Throttled),
    ("post", f"{AUTH}resend-verification/"): (Throttled,),
    ("post", f"{AUTH}login/"): WAY_IN,
    ("post", f"{AUTH}mfa/options/"): (InvalidOrExpiredToken, PasskeysUnavailable),
    ("post", f"{AUTH}mfa/"): (*WAY_IN, InvalidCode, InvalidOrExpiredToken, PasskeysUnavailable),
    ("post", f"{AUTH}passkey/options/"): (PasskeysUnavailable, Throttled),
    ("post", f"{AUTH}passkey/"): (*WAY_IN, InvalidCode, InvalidOrExpiredToken, PasskeysUnavailable),
    ("post", f"{AUTH}email-code/"): (NotFound, Throttled),
    ("post", f"{AUTH}email-code/confirm/"): (*WAY_IN, InvalidCode, InvalidOrExpiredToken, NotFound),
    ("post", f"{AUTH}social/{{provider}}/"): (
        *WAY_IN,
        AccountExists,
        InvalidIdToken,
        ProviderUnavailable,
        RegistrationClosed,
    ),
    ("post", f"{AUTH}reauthenticate/"): (
        AccountLocked,
        InvalidCode,
        InvalidIdToken,
        InvalidOrExpiredToken,
        NotFound,
        PasskeysUnavailable,
        ProviderUnavailable,
        ReauthenticationRequired,
        Throttled,
    ),
    ("post", f"{AUTH}token/refresh/"): (TokenNotValid, Throttled),
    ("post", f"{AUTH}token/verify/"): (TokenNotValid,),
    ("post", f"{AUTH}password-reset/"): (Throttled,),
    ("post", f"{AUTH}password-reset/confirm/"): (InvalidOrExpiredToken, Throttled),
    ("post", f"{AUTH}password-change/"): (AccountLocked,),
    ("post", f"{AUTH}factors/totp/"): (ReauthenticationRequired,),
    ("post", f"{AUTH}factors/totp/confirm/"): (AccountLocked, InvalidCode, ReauthenticationRequired),
    ("delete", f"{AUTH}factors/totp/"): (NotFound, ReauthenticationRequired),
    ("post", f"{AUTH}factors/recovery-codes/"): (NoSecondFactor, ReauthenticationRequired),
    ("post", f"{AUTH}factors/passkeys/options/"): (PasskeysUnavailable, ReauthenticationRequired),
    ("post", f"{AUTH}factors/passkeys/"): (
        InvalidCode,
        InvalidOrExpiredToken,
        PasskeysUnavailable,
        ReauthenticationRequired,
    ),
    ("delete", f"{AUTH}factors/passkeys/{{passkey_id}}/"): (LastFactor, ReauthenticationRequired),
    ("post", f"{AUTH}factors/social/{{provider}}/"): (
        AccountExists,
        InvalidIdToken,
        ProviderUnavailable,
        ReauthenticationRequired,
    ),
    ("delete", f"{AUTH}factors/social/{{provider}}/"): (LastFactor, ReauthenticationRequired),
    ("patch", ME): (ReauthenticationRequired,),
    ("post", f"{ME}phone/"): (ReauthenticationRequired, SmsRefused),
    ("post", f"{ME}phone/confirm/"): (InvalidCode, InvalidOrExpiredToken, ReauthenticationRequired),
    ("post", f"{AUTH}email-change/"): PASSWORD_OR_FRESH,
    ("post", f"{AUTH}was-it-you/"): (InvalidOrExpiredToken, Throttled),
    ("get", f"{ME}export/"): (ReauthenticationRequired,),
    ("post", f"{ME}close/"): PASSWORD_OR_FRESH,
    ("delete", ME): PASSWORD_OR_FRESH,
    ("post", f"{CHAT}conversations/"): (Blocked, NotFound),
    ("patch", CONVERSATION): (PermissionRefused,),
    ("post", f"{CONVERSATION}members/"): (Blocked, PermissionRefused),
    ("patch", f"{CONVERSATION}members/{{member_id}}/"): (PermissionRefused,),
    ("delete", f"{CONVERSATION}members/{{member_id}}/"): (PermissionRefused,),
    ("post", f"{CONVERSATION}leave/"): (PermissionRefused,),
    ("post", f"{CONVERSATION}messages/"): (AccountClosed, Blocked, IdempotencyConflict),
    ("patch", f"{CHAT}messages/{{message_uuid}}/"): (Blocked, PermissionRefused),
    ("delete", f"{CHAT}messages/{{message_uuid}}/"): (PermissionRefused,),
    ("put", f"{CHAT}messages/{{message_uuid}}/reactions/{{emoji}}/"): (Blocked, ValidationFailed),
    ("delete", f"{CHAT}messages/{{message_uuid}}/reactions/{{emoji}}/"): (ValidationFailed,),
    ("post", f"{CHAT}attachments/"): (Infected, QuotaExceeded),
    ("get", f"{CHAT}attachments/{{attachment_uuid}}/"): (RangeNotSatisfiable,),
    ("get", f"{CHAT}attachments/{{attachment_uuid}}/thumbnail/"): (RangeNotSatisfiable,),
    ("post", f"{CHAT}uploads/"): (*TUS, QuotaExceeded, ValidationFailed),
    ("patch", f"{CHAT}uploads/{{upload_uuid}}/"): (*TUS, Infected, OffsetConflict, UploadBusy, ValidationFailed),
    ("delete", f"{CHAT}uploads/{{upload_uuid}}/"): (*TUS, UploadBusy),
    ("post", f"{CHAT}blocks/"): (NotFound,),
    ("post", f"{CHAT}reports/"): (NotFound,),
}
# Keys of an example beyond `detail`, `code`, `action`, `request_id`.
MORE: dict[Kind, dict[str, Any]] = {
    AccountLocked: {"retry_after": 1800, "locked_until": "2026-11-21T10:30:00.000Z"},
    MfaRequired: {"mfa_token": "eyJhbGciOiJIUzI1NiJ9…", "methods": ["totp", "recovery_code"], "expires_in": 300},
    ProviderUnavailable: {"retry_after": 2},
    ReauthenticationRequired: {"methods": ["password"]},
    SmsRefused: {"reason": "number", "retry_after": 3600},
    TemporarilyUnavailable: {"retry_after": 1},
    Throttled: {"retry_after": 12},
    TokenNotValid: {"reason": "expired"},
    UploadBusy: {"retry_after": 1},
    ValidationFailed: {"errors": {"field": [{"message": "This field is required.", "code": "required"}]}},
}
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"schema": {"type": "integer"}}},
    503: {"Retry-After": {"schema": {"type": "integer"}}},
}
TITLES = {
    400: "The request is malformed or a field is not valid.",
    401: "Nobody is signed in by this, or not any more.",
    403: "Not allowed.",
    404: "There is no such thing, or it is somebody else's.",
    405: "The path does not know this method.",
    406: "The answer is JSON only.",
    409: "It does not fit what is there.",
    412: "The request names no version of tus that is spoken here.",
    413: "Too large.",
    415: "The body is not of a type that is read here.",
    416: "The file has no such range; `Content-Range` tells its size.",
    423: "Another request is finishing this upload.",
    429: "Slow down; `retry_after` says for how long.",
    500: "Our fault.",
    503: "Try again after `retry_after` seconds.",
}


def with_refusals(result: dict[str, Any], generator: Any, **kwargs: Any) -> dict[str, Any]:
    """Give each operation its error responses (a postprocessing hook); equal ones are one component."""
    components = result["components"]
    responses = components.setdefault("responses", {})
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            by_status: dict[int, list[Kind]] = {}
            for error in _of(method, path, operation):
                by_status.setdefault(error.status, []).append(error)
            for status, errors in sorted(by_status.items()):
                name = "".join(error.code.title().replace("_", "") for error in errors)
                responses.setdefault(name, _response(status, errors))
                operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    return result


def codes(method: str, path: str, operation: dict[str, Any]) -> set[tuple[int, str]]:
    """Return status and code of every error that the operation can answer."""
    return {(error.status, error.code) for error in _of(method, path, operation)}


def _of(method: str, path: str, operation: dict[str, Any]) -> list[Kind]:
    """Return the errors of an operation, in the order of their codes: its own, and those that follow from its shape."""
    parameters = {parameter["name"]: parameter["in"] for parameter in operation.get("parameters", ())}
    found = {*EVERYWHERE, *REFUSALS.get((method, path), ())}
    if {"bearer": []} in operation.get("security", ()):
        found |= {TokenNotValid} if {} in operation["security"] else {*SIGNED_IN}
    if "requestBody" in operation:
        found |= {ParseError, ValidationFailed}
    if "query" in parameters.values():
        found.add(ValidationFailed)
    if "path" in parameters.values() or {"cursor", "conversation_uuid"} & set(parameters):
        found.add(NotFound)
    if path.startswith(CHAT):
        found.add(Throttled)
    one_of_each = {error.code: error for error in sorted(found, key=lambda error: error.__name__)}
    return [one_of_each[code] for code in sorted(one_of_each)]


def _response(status: int, errors: list[Kind]) -> dict[str, Any]:
    """Describe the errors of one status: which codes, what each says, an example for each."""
    said = "\n".join(f"- `{error.code}` ({error.action}): {error.detail}" for error in errors)
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Error"},
            {"type": "object", "properties": {"code": {"enum": [error.code for error in errors]}}},
        ]
    }
    return {
        "description": f"{TITLES[status]}\n\n{said}",
        "headers": {"X-Request-ID": {"schema": {"type": "string"}}, **HEADERS.get(status, {})},
        "content": {
            "application/json": {
                "schema": schema,
                "examples": {error.code: {"value": _example(error)} for error in errors},
            }
        },
    }


def _example(error: Kind) -> dict[str, Any]:
    body = {"detail": str(error.detail), "code": error.code, "action": error.action}
    return {**body, **MORE.get(error, {}), "request_id": "4f1c0a9e7b2d4c58"}
