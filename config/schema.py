"""Hooks for the OpenAPI document: one prefix, one authentication scheme, common error responses."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

ALIASES = ("/api/users/auth/",)

# Every operation may return these, so that the document covers all responses.
ANSWERS = {
    "400": ("BadRequest", "The request is malformed or a field is not valid."),
    "401": ("Unauthorized", "No valid access token; `action` says whether to refresh or to sign in."),
    "403": ("Forbidden", "Not allowed."),
    "404": ("NotFound", "There is no such thing, or it is somebody else's."),
    "405": ("MethodNotAllowed", "The path does not know this method."),
    "406": ("NotAcceptable", "The answer is JSON only."),
    "409": ("Conflict", "The same `client_msg_id` was used for another content, or an upload is at another offset."),
    "413": ("ContentTooLarge", "The body is too large."),
    "415": ("UnsupportedMediaType", "The body is not of a type that is read here."),
    "429": ("TooManyRequests", "Slow down; `retry_after` says for how long."),
    "500": ("InternalServerError", "Our fault."),
    "503": ("ServiceUnavailable", "Try again after `retry_after` seconds."),
}
# And some these: their views name the status, the body is the one of all errors.
SOME_ANSWER = {
    "412": ("PreconditionFailed", "The request names no version of tus that is spoken here."),
    "416": ("RangeNotSatisfiable", "The file has no such range; `Content-Range` tells its size."),
    "423": ("Locked", "Another request is finishing this upload."),
}
HEADERS = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "429": {"Retry-After": {"schema": {"type": "integer"}}},
    "503": {"Retry-After": {"schema": {"type": "integer"}}},
}
ACTIONS = ("refresh", "login", "retry", "wait", "verify_email", "mfa", "reauthenticate", "none")
ERROR = {
    "type": "object",
    "description": "The only error body. `code`, `reason` and `action` never change with the language.",
    "properties": {
        "detail": {"type": "string", "description": "For people, in the language of `Accept-Language`."},
        "code": {"type": "string", "examples": ["token_not_valid"]},
        "reason": {"type": "string", "examples": ["expired"]},
        "action": {"type": "string", "enum": list(ACTIONS)},
        "retry_after": {"type": "integer", "description": "seconds"},
        "locked_until": {"type": "string", "format": "date-time"},
        "mfa_token": {"type": "string", "description": "With `mfa_required`: send it with the second factor."},
        "methods": {"type": "array", "items": {"type": "string"}, "description": "What would be accepted."},
        "expires_in": {"type": "integer", "description": "seconds"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "object",
            "description": "With `validation_error`: the errors of each field, general ones under `non_field_errors`.",
            "additionalProperties": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"message": {"type": "string"}, "code": {"type": "string"}},
                    "required": ["message", "code"],
                },
            },
        },
    },
    "required": ["detail", "code", "action", "request_id"],
}


class BearerExtension(OpenApiAuthenticationExtension):
    target_class = "sessions.authentication.SessionJWTAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def canonical_paths(endpoints: list[Any], **kwargs: Any) -> list[Any]:
    """Drop the second prefix, which has the same views (a preprocessing hook)."""
    return [endpoint for endpoint in endpoints if not endpoint[0].startswith(ALIASES)]


def one_error_body(result: dict[str, Any], generator: Any, **kwargs: Any) -> dict[str, Any]:
    """Add the error responses to every operation, and drop the admin's cookie (a postprocessing hook)."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR
    components["responses"] = {
        name: {
            "description": text,
            "headers": {"X-Request-ID": {"schema": {"type": "string"}}, **HEADERS.get(status, {})},
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, (name, text) in (ANSWERS | SOME_ANSWER).items()
    }
    for operations in result["paths"].values():
        for operation in operations.values():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            for status, (name, _) in (ANSWERS | SOME_ANSWER).items():
                if status in SOME_ANSWER and status not in operation["responses"]:
                    continue
                operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}
            if _must_be_given(operation, components["schemas"]):
                operation["requestBody"]["required"] = True
            if "security" in operation:
                operation["security"] = [way for way in operation["security"] if "cookieAuth" not in way]
    components.get("securitySchemes", {}).pop("cookieAuth", None)
    return result


def _must_be_given(operation: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Return whether the body has a required key, also in `oneOf` and plain schemas, which spectacular ignores."""
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    schema = schemas.get(body.get("$ref", "").rpartition("/")[2], body)
    return bool(schema.get("required") or schema.get("oneOf"))
