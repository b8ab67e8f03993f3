"""Senders of SMS, chosen by `SMS_URL`.

- `console://` writes to the log of the server (never in production)
- `file:///folder` writes one JSON file `{"to", "text"}` for each SMS
- `twilio://SID:TOKEN@FROM` (FROM: a number or a messaging service)
- `https://user:password@gateway/send?to={to}&text={text}`: any gateway; a GET, or with `SMS_BODY` a POST of that
  template, as JSON where it begins with a brace, else as a form. `SMS_TOKEN` is sent as Bearer.
"""

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx
import structlog
from django.conf import settings
from django.utils import timezone

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 10.0


class SmsNotSent(Exception):
    """The gateway did not accept the SMS; a retry may help. Contains neither number nor text."""


class SmsRejected(Exception):
    """The gateway refused the SMS permanently."""


class Sender(Protocol):
    def send(self, number: str, text: str) -> None:
        """Send one SMS. Raises SmsNotSent, SmsRejected."""


class Console:
    def send(self, number: str, text: str) -> None:
        sys.stdout.write(f"SMS to {number}: {text}\n")
        sys.stdout.flush()


class Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, number: str, text: str) -> None:
        """Write the file atomically: a watcher of the folder never reads a partial file."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{timezone.now():%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}.json"
        draft = self.folder / f".{name}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"to": number, "text": text}, file, ensure_ascii=False)
        draft.replace(self.folder / name)


class Twilio:
    HOST = "https://api.twilio.com"

    def __init__(self, sid: str, token: str, sender: str) -> None:
        self.sid, self.token, self.sender = sid, token, sender

    def send(self, number: str, text: str) -> None:
        by = "MessagingServiceSid" if self.sender.startswith("MG") else "From"
        url = f"{self.HOST}/2010-04-01/Accounts/{self.sid}/Messages.json"
        _post(url, data={"To": number, by: self.sender, "Body": text}, auth=(self.sid, self.token))


class Gateway:
    """Sender for any HTTP gateway, by templates with `{to}` and `{text}`."""

    def __init__(self, url: str, *, body: str = "", token: str = "") -> None:
        parts = urlsplit(url)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        self.auth = (user, password) if user else None
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        self.body, self.token = body, token

    def send(self, number: str, text: str) -> None:
        url = _filled(self.url, quote(number, safe=""), quote(text, safe=""))
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if not self.body:
            return _post(url, method="GET", headers=headers, auth=self.auth)
        if self.body.lstrip().startswith("{"):
            content = _filled(self.body, json.dumps(number)[1:-1], json.dumps(text)[1:-1])
            headers["Content-Type"] = "application/json"
        else:
            content = _filled(self.body, quote(number, safe=""), quote(text, safe=""))
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return _post(url, content=content.encode(), headers=headers, auth=self.auth)


def _filled(template: str, to: str, text: str) -> str:
    """Fill both placeholders in one pass, so that a text containing `{to}` is not changed."""
    head, *tail = template.split("{text}")
    return text.join([head.replace("{to}", to), *(part.replace("{to}", to) for part in tail)])


def _post(url: str, *, method: str = "POST", **kwargs: object) -> None:
    try:
        response = httpx.request(method, url, timeout=TIMEOUT_SECONDS, **kwargs)  # type: ignore[arg-type]
    except httpx.HTTPError as error:
        raise SmsNotSent(type(error).__name__) from None  # the error would quote the URL, which contains the number
    if response.status_code >= 500 or response.status_code == 429:
        raise SmsNotSent(str(response.status_code))
    if response.status_code >= 300:
        raise SmsRejected(str(response.status_code))


def sender() -> Sender | None:
    """Return the configured sender, None if SMS are off."""
    return of(settings.SMS_URL)


def of(url: str) -> Sender | None:
    """Return the sender of a URL. Raises ValueError for an invalid one."""
    if not url:
        return None
    parts = urlsplit(url)
    match parts.scheme:
        case "console":
            return Console()
        case "file" if parts.path not in ("", "/") and not parts.netloc:
            return Folder(Path(unquote(parts.path)))
        case "twilio" if parts.username and parts.password and parts.hostname:
            return Twilio(unquote(parts.username), unquote(parts.password), unquote(parts.netloc.rpartition("@")[2]))
        case "http" | "https" if parts.hostname:
            body = getattr(settings, "SMS_BODY", "")
            if "{to}" not in url + body or "{text}" not in url + body:
                raise ValueError("a gateway's address or SMS_BODY holds {to} and {text}")
            return Gateway(url, body=body, token=getattr(settings, "SMS_TOKEN", ""))
    raise ValueError("not console://, file:///folder, twilio://SID:TOKEN@FROM or https://gateway/?to={to}&text={text}")
