"""Additions to the OpenAPI schema of accounts that drf-spectacular cannot derive."""

from typing import Any


def closing_takes_a_password(result: dict[str, Any], generator: Any, **kwargs: Any) -> dict[str, Any]:
    """Describe the body of `DELETE users/me/` (a postprocessing hook: spectacular knows none with DELETE)."""
    closing = result["paths"].get("/api/users/me/", {}).get("delete")
    if closing is not None:
        body = {"type": "object", "properties": {"password": {"type": "string"}}, "required": ["password"]}
        closing["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return result
