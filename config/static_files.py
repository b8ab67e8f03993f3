"""How long a browser keeps our static files."""

from typing import Any


def headers(headers: Any, path: str, url: str) -> None:
    """Let the page's own files be asked for again at each visit: they have fixed names and must fit each other."""
    if "/app/" in url:
        headers["Cache-Control"] = "no-cache"
