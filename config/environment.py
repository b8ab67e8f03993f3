"""Read settings from the environment so that one error names every bad variable."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import environs
from environs import validate

Text = str  # the methods below are called after the types that they return


class Environment:
    """environs with ranges and choices. Where a value is bad its default stands in until `seal()` names them all.

    `declared` maps every variable that was asked for to its default; `.env.example` is tested against it. A variable
    `X` may also come from the file that `X_FILE` names (Docker and systemd secrets).
    """

    def __init__(self, dotenv: Path) -> None:
        self._env = environs.FileAwareEnv(eager=False)
        self._env.read_env(dotenv)
        self.declared: dict[Text, Any] = {}

    def _read(self, kind: Text, name: Text, default: Any, validators: list[Any]) -> Any:
        self.declared[name] = default
        value = getattr(self._env, kind)(name, default, validate=validators or None)
        return default if value is None else value

    def str(self, name: Text, default: Text = "", *, choices: tuple[Text, ...] = (), check: Any = None) -> Text:
        validators = [validate.OneOf(choices)] if choices else []
        return self._read("str", name, default, [*validators, *([check] if check else [])])

    def int(self, name: Text, default: int, low: int = 0, high: int | None = None) -> int:
        return self._read("int", name, default, [validate.Range(min=low, max=high)])

    def float(self, name: Text, default: float, low: float = 0, high: float | None = None) -> float:
        return self._read("float", name, default, [validate.Range(min=low, max=high)])

    def bool(self, name: Text, default: bool) -> bool:
        return self._read("bool", name, default, [])

    def list(self, name: Text, default: Sequence[Text], *, check: Any = None) -> Any:
        def each(values: Any) -> None:
            for value in values:
                check(value)

        values = self._read("list", name, default, [each] if check else [])
        return [value.strip() for value in values if value.strip()]

    def seal(self) -> None:
        """Raise one error that names every bad variable, if there is any."""
        self._env.seal()


def http_url(text: str) -> None:
    """Refuse what is not `http(s)://host[:port][/path]`."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        sane = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1) and not parts.query
    except ValueError:
        sane = False
    if not sane or parts.fragment or parts.username is not None:
        raise validate.ValidationError("Not an http:// or https:// address.")


def origin(text: str) -> None:
    """Refuse what is not `scheme://host[:port]`: a path or a bare host would match nothing."""
    http_url(text.strip())
    if text.strip().count("/") != 2:
        raise validate.ValidationError(f"{text!r} is not an origin such as https://app.example.com.")


def rate(text: str) -> None:
    """Refuse what `common.rates` cannot parse."""
    from common.rates import parse

    try:
        parse(text)
    except ValueError as error:
        raise validate.ValidationError(str(error)) from error


def database_url(text: str) -> None:
    import dj_database_url

    try:
        engine = dj_database_url.parse(text).get("ENGINE", "")
    except Exception:
        engine = ""
    if not engine.endswith(("postgresql", "sqlite3")):
        raise validate.ValidationError("Not a postgresql:// or sqlite:/// address.")


def redis_urls(text: str) -> None:
    for url in text.split(","):
        if url.strip() and not url.strip().startswith(("redis://", "rediss://", "unix://")):
            raise validate.ValidationError("Not a redis:// or rediss:// address.")


def email_settings(url: str) -> dict[str, Any]:
    """Return Django's EMAIL_* settings of `smtp+tls://user:password@host:587`, `smtp://…` or `consolemail://`."""
    import dj_email_url

    # The mapping's own names that Django does not know (SERVER_EMAIL, …) are None where the URL is silent.
    return {name: value for name, value in dj_email_url.parse(url).items() if value is not None}


def email_url(text: str) -> None:
    if not text:
        return
    try:
        backend = email_settings(text).get("EMAIL_BACKEND", "")
    except Exception:
        backend = ""
    if not backend:
        raise validate.ValidationError("Not an address such as smtp+tls://user:password@host:587.")
