"""Mail backend that writes one file per mail, used without `EMAIL_URL`; embedded mode shows them at `/dev/mail/`.

Django's own file backend names files by the second and a memory address, so that two mails can share a file.
"""

import email
import email.policy
import os
import re
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage as Parsed
from pathlib import Path

import structlog
from django.conf import settings
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMessage
from django.utils import timezone

log = structlog.get_logger(__name__)

NAME = re.compile(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{32}\.eml")


class EmailBackend(BaseEmailBackend):
    """Writes each message to a file of its own; embedded mode without `MAIL_DIR` prints it as well."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(settings.EMAIL_FILE_PATH)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in email_messages:
            name = f"{timezone.now():%Y%m%d-%H%M%S-%f}-{uuid.uuid4().hex}"
            # 8bit keeps the text readable: base64 and quoted-printable would break the link.
            _write_whole(folder / f"{name}.eml", message.message().as_bytes())
            if settings.PRODUCTION and not settings.MAIL_DIR:
                log.warning("mail.reaches_nobody", hint="set EMAIL_URL", file=f"{name}.eml")
            elif not settings.MAIL_DIR:  # never in production: a link that opens an account must not be logged
                sys.stderr.write(f"\nMail to {', '.join(message.to)}: {message.subject}\n{message.body}\n")
        return len(email_messages)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically, readable only by its owner, since it contains a secret link.

    If the file system supports O_TMPFILE, it has no name until it is complete: a watcher never sees a partial file.
    """
    with suppress(AttributeError, OSError):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with os.fdopen(os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                # With dir_fd Python calls linkat(AT_SYMLINK_FOLLOW); without it the symlink in /proc would be linked.
                os.link(f"/proc/self/fd/{file.fileno()}", path.name, src_dir_fd=folder, dst_dir_fd=folder)
            return
        finally:
            os.close(folder)
    part = path.with_name(f".{path.stem}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    part.rename(path)


@dataclass(frozen=True, kw_only=True)
class StoredMail:
    name: str
    at: datetime
    to: str
    subject: str
    language: str
    text: str
    html: str


def stored(limit: int = 100) -> list[StoredMail]:
    """Return the newest mails first."""
    folder = Path(settings.EMAIL_FILE_PATH)
    names = sorted((path.name for path in folder.glob("*.eml") if NAME.fullmatch(path.name)), reverse=True)[:limit]
    return [mail for name in names if (mail := read(name))]


def read(name: str) -> StoredMail | None:
    """Return one mail, None for any other name, so that no path can leave the folder."""
    path = Path(settings.EMAIL_FILE_PATH) / name
    if not NAME.fullmatch(name) or not path.is_file():
        return None
    parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    if not isinstance(parsed, Parsed):
        return None
    at = datetime.strptime(name[:22], "%Y%m%d-%H%M%S-%f").replace(tzinfo=timezone.get_default_timezone())
    return StoredMail(
        name=name,
        at=at,
        to=str(parsed["To"]),
        subject=str(parsed["Subject"]),
        language=str(parsed["Content-Language"] or "en"),
        text=_part(parsed, "plain"),
        html=_part(parsed, "html"),
    )


def _part(parsed: Parsed, kind: str) -> str:
    body = parsed.get_body((kind,))
    return str(body.get_content()) if body else ""
