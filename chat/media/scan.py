"""Virus scan by clamd (`ATTACHMENT_SCAN_URL=tcp://host:3310`). Without an answer the file is refused."""

import socket
import struct
from typing import IO
from urllib.parse import urlsplit

import structlog
from django.conf import settings

from chat.media.errors import Infected
from common.errors import TemporarilyUnavailable, TooLarge

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 10
BLOCK_BYTES = 256 * 1024


def require_clean(source: IO[bytes]) -> None:
    """Raise Infected for a finding, TooLarge beyond the scanner's limit, TemporarilyUnavailable without an answer."""
    if not settings.ATTACHMENT_SCAN_URL:
        return
    try:
        answer = _ask(source)
    except OSError as error:
        log.error("media.scanner_away", error=type(error).__name__)
        raise TemporarilyUnavailable(retry_after=5) from error
    if answer.endswith("FOUND"):
        log.warning("media.infected", found=answer.removeprefix("stream:").strip()[:100])
        raise Infected
    if "size limit exceeded" in answer:
        raise TooLarge
    if not answer.endswith("OK"):
        log.error("media.scanner_failed", answer=answer[:100])
        raise TemporarilyUnavailable(retry_after=5)


def _ask(source: IO[bytes]) -> str:
    """Stream the file with INSTREAM: length-prefixed blocks, ended by an empty one."""
    parts = urlsplit(settings.ATTACHMENT_SCAN_URL)
    with socket.create_connection((parts.hostname or "", parts.port or 3310), TIMEOUT_SECONDS) as connection:
        source.seek(0)
        try:
            connection.sendall(b"zINSTREAM\0")
            while block := source.read(BLOCK_BYTES):
                connection.sendall(struct.pack("!L", len(block)) + block)
            connection.sendall(struct.pack("!L", 0))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it answers before the end: a size limit
        answer = b""
        while not answer.endswith(b"\0") and len(answer) < 4096:
            piece = connection.recv(4096)
            if not piece:
                break
            answer += piece
    if not answer:
        raise OSError("no answer")
    return answer.rstrip(b"\0\n").decode("utf-8", "replace").strip()
