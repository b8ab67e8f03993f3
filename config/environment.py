"""Reading of settings from the environment, reporting every bad, missing and unknown one in one error."""

import difflib
import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environs
import idna
from django.core.exceptions import ImproperlyConfigured
from dotenv import dotenv_values
from environs import validate

# The methods below shadow the names of these types.
Text = str
Lines = list[str]

# What `.env` may contain besides our settings: compose and libraries read it as well.
NOT_OURS = re.compile(
    r"(COMPOSE|POSTGRES|DJANGO|PYTHON|SSL|OTEL|REQUESTS|AWS)_?|ALVIAR_(EXTRAS|IMAGE)$|(HTTPS?|NO|ALL)_PROXY$|TZ$|DOMAIN$"
)
# Kubernetes writes such variables for each service of a namespace.
OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)|_PORT(_\d+_(TCP|UDP).*)?$")
DEFAULT_PORTS = {"http": 80, "https": 443}
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|URL|DSN")


class SettingsRefused(ImproperlyConfigured):
    """The settings are invalid. `faults` are readable lines that say what to change."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"- {fault}" for fault in faults))


class Environment:
    """environs with ranges and choices. The default replaces a bad value until `faults()` reports them all.

    `declared` maps every variable that was asked for to its default; `.env.example` is tested against it. A variable
    `X` may also come from the file that `X_FILE` names (Docker and systemd secrets).
    """

    def __init__(self, dotenv: Path) -> None:
        self._env = environs.FileAwareEnv(eager=False, strip_whitespace=True)
        self._in_file = set(dotenv_values(dotenv)) if dotenv.is_file() else set()
        self._env.read_env(dotenv)
        self._wanted: dict[Text, Text] = {}
        self._more: list[Text] = []
        self.declared: dict[Text, Any] = {}

    def _read(self, kind: Text, name: Text, default: Any, validators: list[Any], wanted: Text = "") -> Any:
        self.declared[name], self._wanted[name] = default, wanted
        value = getattr(self._env, kind)(name, default, validate=validators or None)
        return default if value is None else value

    def str(self, name: Text, default: Text = "", *, choices: tuple[Text, ...] = (), check: Any = None) -> Text:
        validators = [validate.OneOf(choices)] if choices else []
        wanted = f"one of {', '.join(choices)}" if choices else ""
        return self._read("str", name, default, [*validators, *([check] if check else [])], wanted)

    def int(self, name: Text, default: int, low: int = 0, high: int | None = None) -> int:
        return self._read("int", name, default, [validate.Range(min=low, max=high)], _range("a whole", low, high))

    def float(self, name: Text, default: float, low: float = 0, high: float | None = None) -> float:
        return self._read("float", name, default, [validate.Range(min=low, max=high)], _range("a", low, high))

    def bool(self, name: Text, default: bool) -> bool:
        return self._read("bool", name, default, [], "true or false")

    def list(self, name: Text, default: Sequence[Text], *, check: Any = None) -> Any:
        def each(values: Any) -> None:
            for value in values:
                check(value)

        values = self._read("list", name, default, [each] if check else [])
        return [value.strip() for value in values if value.strip()]

    def refuse(self, fault: Text) -> None:
        """Add a fault that concerns more than one variable."""
        self._more.append(fault)

    def faults(self) -> Lines:
        """Return one line for each bad, missing or unknown variable. Nothing may be read afterwards."""
        try:
            self._env.seal()
            bad: dict[Text, Any] = {}
        except environs.EnvValidationError as error:
            bad = {**error.error_messages} if isinstance(error.error_messages, dict) else {"": error.error_messages}
        return [*(self._fault(name, said) for name, said in bad.items()), *self._more, *self._unknown()]

    def _fault(self, name: Text, said: Any) -> Text:
        """Return one line with a variable's fault and default. A value that may be secret is not shown."""
        value, wanted, default = os.environ.get(name), self._wanted.get(name, ""), self.declared.get(name, "")
        if wanted and value is not None and not SECRET.search(name):
            fault = f"{name} is {value!r}, which is not {wanted}"
        elif wanted:
            fault = f"{name}: not {wanted}"
        else:
            reasons = said if isinstance(said, (tuple, type([]))) else [said]
            fault = f"{name}: " + " ".join(" ".join(Text(reason).split()) for reason in reasons)
        return fault.rstrip(".") + "." + ("" if default in ("", []) else f" Unset it for {default}.")

    def _unknown(self) -> Lines:
        """Return faults for unused names in `.env`, and for variables that look like a misspelt setting."""
        known = {*self.declared, *(f"{name}_FILE" for name in self.declared)}
        faults = []
        for name in sorted({*self._in_file, *os.environ} - known):
            near = difflib.get_close_matches(name, self.declared, 1, 0.87) if "_" in name and name.isupper() else []
            if NOT_OURS.match(name) or OF_KUBERNETES.search(name):
                continue
            if name in self._in_file:
                hint = f"Did you mean {near[0]}?" if near else "Remove it; .env.example lists what there is."
                faults.append(f"{name} in .env is no setting. {hint}")
            elif near:
                faults.append(f"{name} is no setting. Did you mean {near[0]}? Otherwise unset it.")
        return faults


def _range(kind: str, low: float, high: float | None) -> str:
    return f"{kind} number from {low} to {high}" if high is not None else f"{kind} number of at least {low}"


def http_url(text: str) -> None:
    """Raise ValidationError unless the text is `http(s)://host[:port][/path]`."""
    try:
        parts = urlsplit(text)
        sane = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1) and not parts.query
        as_sent(text)
    except ValueError:
        sane = False
    if not sane or parts.fragment or parts.username is not None:
        raise validate.ValidationError("Not an http:// or https:// address.")


def https_url(text: str) -> None:
    """Refuse what a mail program would not load: anything but https, or a file of this machine's server."""
    if not text:
        return
    http_url(text)
    if urlsplit(text).scheme != "https" and urlsplit(text).hostname not in {"localhost", "127.0.0.1"}:
        raise validate.ValidationError("Not an https:// address.")


def one_line(text: str) -> None:
    """Refuse what would add a header to a mail."""
    if any(ord(character) < 32 for character in text):
        raise validate.ValidationError("More than one line.")


def colour(text: str) -> None:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise validate.ValidationError("Not a colour such as #0b5cad.")


def app_url(text: str) -> None:
    """Refuse what is not `scheme://…`, and schemes that a browser runs or reads from the reader's own disk."""
    if not text:
        return
    scheme, _separator, rest = text.partition("://")
    if (
        not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme)
        or scheme in {"javascript", "data", "vbscript", "file", "blob", "about", "view-source"}
        or not re.fullmatch(r"[^\s\"'<>\\]*", rest)
    ):
        raise validate.ValidationError("Not an address such as myapp://home or https://app.example.com/.")


ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^\s/:*?#@\[\]]+)(:\d{1,5})?", re.IGNORECASE)


def origin(text: str) -> None:
    """Raise ValidationError unless the text is `scheme://host[:port]`: a path, a bare host or `*` would never match.

    Web views have schemes of their own (`capacitor://localhost`).
    """
    try:
        sane = bool(ORIGIN.fullmatch(text.strip()) and as_sent(text.strip()))
    except ValueError:  # a port or a name that cannot be
        sane = False
    if not sane:
        raise validate.ValidationError(
            f"{text.strip()!r} is no origin such as https://app.example.com or capacitor://localhost; no path, no *."
        )


def as_sent(url: str) -> str:
    """Return an address as browsers write it in `Origin`: lower case, IDNA, no default port; no `/` at the end."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode("ascii")
    place = f"[{host}]" if ":" in host else host
    if port not in {None, DEFAULT_PORTS.get(parts.scheme)}:
        place = f"{place}:{port}"
    return f"{parts.scheme}://{place}{parts.path}".rstrip("/")


# As Django compares them with the `Host` header, which has no scheme; letters beyond ASCII come as `xn--`.
ALLOWED_HOST = re.compile(r"\*|\[[0-9a-f:.]+\]|\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)


def allowed_host(text: str) -> None:
    """Raise ValidationError unless the text is a host, `.domain` or `*`: with more, no request would ever match."""
    if text.strip() and not ALLOWED_HOST.fullmatch(text.strip()):
        raise validate.ValidationError(
            f"{text.strip()!r} is no host such as chat.example.com or .example.com; no https://, no port, no path."
        )


def contact(text: str) -> None:
    """Raise ValidationError unless the text is a contact for push services (RFC 8292 §2.1)."""
    if text and not text.startswith(("https://", "mailto:")):
        raise validate.ValidationError("Neither https:// nor mailto:.")


def rate(text: str) -> None:
    """Raise ValidationError if `common.rates` cannot parse the text."""
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


def postgresql_url(text: str) -> None:
    if text:
        database_url(text)
    if text.startswith("sqlite"):
        raise validate.ValidationError("Not a postgresql:// address.")


SMTP = {
    # scheme: (port, STARTTLS, TLS from the first byte)
    "smtp": (25, False, False),
    "smtp+tls": (587, True, False),
    "submission": (587, True, False),
    "smtps": (465, False, True),
    "smtp+ssl": (465, False, True),
}
OTHER_MAIL = {"consolemail": "console", "console": "console", "dummymail": "dummy", "memorymail": "locmem"}
EMAIL_URL_WANTED = (
    "Not an address such as smtp+tls://user:password@host:587 (STARTTLS), smtps://user:password@host:465 (TLS from the "
    "start), smtp://host:25 or consolemail://."
)


def email_settings(url: str) -> dict[str, Any]:
    """Return Django's EMAIL_* settings of an EMAIL_URL. Raises ValueError. User and password are percent-decoded.

    `?timeout=` overrides EMAIL_TIMEOUT. The server's certificate is checked against the system's authorities, or those
    of SSL_CERT_FILE.
    """
    from urllib.parse import parse_qs, unquote, urlsplit

    parts = urlsplit(url)
    if parts.scheme in OTHER_MAIL:
        return {"EMAIL_BACKEND": f"django.core.mail.backends.{OTHER_MAIL[parts.scheme]}.EmailBackend"}
    query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    if parts.scheme not in SMTP or not parts.hostname or parts.path.strip("/") or query.keys() - {"timeout"}:
        raise ValueError(EMAIL_URL_WANTED)
    port, starttls, tls = SMTP[parts.scheme]
    found = {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or port,
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_TLS": starttls,
        "EMAIL_USE_SSL": tls,
    }
    if query and int(query["timeout"][0]) < 1:
        raise ValueError(EMAIL_URL_WANTED)
    return found | ({"EMAIL_TIMEOUT": int(query["timeout"][0])} if query else {})


def email_url(text: str) -> None:
    if not text:
        return
    try:
        email_settings(text)
    except ValueError as error:
        raise validate.ValidationError(EMAIL_URL_WANTED) from error


def storage_url(text: str) -> None:
    """Raise ValidationError unless the text is `s3[+http]://key:secret@host[:port]/bucket`."""
    if text and not (
        _is_address(text, {"s3", "s3+http"}) and (parts := urlsplit(text)).username and parts.password
        and re.fullmatch(r"/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/?", parts.path)
    ):  # fmt: skip
        raise validate.ValidationError("Not an address such as s3://key:secret@host:port/bucket.")
    if text:
        needs("storages", "boto3", extra="s3")


def sentry_dsn(text: str) -> None:
    """Refuse what is not `https://key@host/project`."""
    if not text:
        return
    if not (_is_address(text, {"https", "http"}) and (parts := urlsplit(text)).username and parts.path.strip("/")):
        raise validate.ValidationError("Not an address such as https://key@errors.example.com/1.")
    needs("sentry_sdk", extra="telemetry")


def otlp_endpoint(text: str) -> None:
    if text:
        http_url(text)
        needs("opentelemetry", extra="telemetry")


def needs(*modules: str, extra: str) -> None:
    """Refuse a setting whose packages are not installed."""
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise validate.ValidationError(
            f"That takes requirements-{extra}.txt (pip install -r), or an image built with EXTRAS={extra}."
        )


def scan_url(text: str) -> None:
    """Raise ValidationError unless the text is `tcp://host[:port]`."""
    if text and not (_is_address(text, {"tcp"}) and urlsplit(text).path in {"", "/"}):
        raise validate.ValidationError("Not an address such as tcp://127.0.0.1:3310.")


def _is_address(text: str, schemes: set[str]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0 and not parts.query
    except ValueError:
        return False
