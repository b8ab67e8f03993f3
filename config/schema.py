"""Hooks for the OpenAPI document: one prefix, one authentication scheme, one error body."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

ALIASES = ("/api/users/auth/",)

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
    """Describe the body of every error, and drop the admin's cookie (a postprocessing hook)."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = ERROR
    for operations in result["paths"].values():
        for operation in operations.values():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
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
