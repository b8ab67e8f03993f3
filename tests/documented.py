"""Every refusal that the tests' clients get under `/api/` is one that the OpenAPI document lists for the operation."""

import functools
import json
import re
from urllib.parse import parse_qs

from django.urls import Resolver404, resolve


def check(method: str, path: str, status: int, content_type: str, body: bytes, *, query: str = "") -> None:
    """Raise AssertionError for an error code that the document does not know for this operation."""
    # DRF's own parameter, which the document does not have: an unknown format is 404.
    if "format" in parse_qs(query):
        return
    if status < 400 or not path.startswith("/api/") or not content_type.startswith("application/json"):
        return
    operation = (method.lower(), _path_in_document(path))
    listed = _codes().get(operation)
    if listed is not None:
        found = (status, json.loads(body)["code"])
        assert found in listed, f"{operation} answers {found}, which config/refusals.py does not list"


def _path_in_document(path: str) -> str:
    """Return the path with its parameters' names, by the canonical prefix."""
    try:
        route = "/" + str(resolve(path).route)
    except Resolver404:
        return path
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route).replace("/api/users/auth/", "/api/auth/", 1)


@functools.cache
def _codes() -> dict[tuple[str, str], set[tuple[int, str]]]:
    from config import refusals
    from config.documentation import document

    return {
        (method, path): refusals.codes(method, path, operation)
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }
