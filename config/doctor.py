"""What `manage.py doctor` looks at. Each examination returns findings that say what to do; none of them raises.

Everything is looked at from where the server runs: the stores answer, the mail server takes a hello, the public address
leads here and its certificate holds, the clocks agree; what is outside stands in `doctor_services`. Nothing is sent to
anybody.
"""

import os
import shutil
import smtplib
import socket
import ssl
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import unquote, urlsplit

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core import checks
from django.core.cache import cache
from django.db import connection

from chat.hub import wakes
from common import redis_places
from common.postgresql import replica
from config import doctor_services as services
from config import health
from config.checks import line
from config.findings import WAIT_SECONDS, Finding, ok

CLOCK_SECONDS = 2.0  # tokens take JWT_LEEWAY; this is where one begins to wonder
CERTIFICATE_DAYS = 14
FREE_SHARE, FREE_BYTES = 0.05, 1024**3


def look_at_settings() -> Iterator[Finding]:
    found = [message for message in checks.run_checks() if not message.is_silenced() and message.level >= 30]
    for message in found:
        yield Finding("settings", "error" if message.level >= 40 else "warning", line(message))
    if not found:
        yield ok("settings", f"nothing unsafe in {settings.MODE} mode")


def look_at_database() -> Iterator[Finding]:
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        yield ok("database", f"{connection.vendor} answers in {(time.perf_counter() - started) * 1000:.0f} ms")
        if connection.vendor == "postgresql":
            cursor.execute("SHOW max_connections")
            most, wanted = int(cursor.fetchone()[0]), (settings.WORKERS + 1) * settings.DATABASE_POOL_MAX
            cursor.execute("SHOW lock_timeout")
            if settings.DATABASE_POOLED_BY != "none":
                if cursor.fetchone()[0] == "0" and settings.DATABASE_LOCK_TIMEOUT_MS:
                    yield Finding(
                        "database",
                        "warning",
                        "Behind the pooler a statement may wait for a lock when its client has long left.",
                        "Set lock_timeout by its connect_query, as deploy/pgbouncer.ini does.",
                    )
            elif wanted > most:
                yield Finding(
                    "database",
                    "warning",
                    f"{wanted} connections are possible, PostgreSQL takes {most}.",
                    "Lower DATABASE_POOL_MAX or raise max_connections.",
                )
    if health._migrations() != "ok":
        yield Finding("migrations", "error", "The tables are older than the code.", "Run manage.py migrate.")
    elif health._tasks() != "ok":
        yield Finding("tasks", "error", "Tasks wait for more than a minute.", "Start a task worker (make serve does).")
    else:
        yield ok("migrations, tasks", "up to date; nothing waits")


def look_at_replica() -> Iterator[Finding]:
    if not settings.DATABASE_REPLICA_URL:
        return
    state = replica.state()
    if state == "other":
        yield Finding(
            "replica",
            "error",
            "DATABASE_REPLICA_URL leads to no standby of the database: it serves nothing.",
            "Name a physical standby that follows this primary.",
        )
    else:
        yield ok("replica", "has replayed everything" if state == "fresh" else "is behind just now")


def look_at_redis() -> Iterator[Finding]:
    if not settings.REDIS_URLS:
        where = "PostgreSQL holds cache, rates and presence" if settings.WAKES_URLS else "one process, all in memory"
        yield ok("Redis", f"none: {where}")
    for number, url in enumerate(settings.REDIS_URLS, 1):
        client = redis_places.client(url, timeout_s=WAIT_SECONDS)
        started = time.perf_counter()
        client.ping()
        yield ok("Redis", f"number {number} answers in {(time.perf_counter() - started) * 1000:.0f} ms")
    key = f"doctor:{uuid.uuid4().hex}"
    cache.set(key, 1, 10)
    if cache.get(key) != 1:
        yield Finding(
            "cache", "error", "What was written is not read back.", "Look at REDIS_URL and its memory policy."
        )


def look_at_wakes() -> Iterator[Finding]:
    """Send a message to oneself the way that processes speak to each other."""
    if not settings.WAKES_URLS:
        yield ok("wakes", "none: one process")
        return
    took_ms = async_to_sync(wakes.round_trip)(within_s=WAIT_SECONDS)
    yield ok("wakes", f"{settings.WAKES_BACKEND.rpartition('.')[2]} takes {took_ms:.1f} ms from process to process")


def look_at_mail() -> Iterator[Finding]:
    if not settings.EMAIL_URL:
        where = settings.EMAIL_FILE_PATH
        yield Finding("mail", "warning", f"No mail leaves: files in {where}.", "Set EMAIL_URL.")
        return
    if not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        yield Finding("mail", "warning", "No mail leaves: EMAIL_URL names no mail server.", "Set EMAIL_URL.")
        return
    host, port, context = settings.EMAIL_HOST, settings.EMAIL_PORT, ssl.create_default_context()
    connect: Callable[[], smtplib.SMTP] = (
        partial(smtplib.SMTP_SSL, host, port, timeout=WAIT_SECONDS, context=context)
        if settings.EMAIL_USE_SSL
        else partial(smtplib.SMTP, host, port, timeout=WAIT_SECONDS)
    )
    with connect() as server:
        if settings.EMAIL_USE_TLS:
            server.starttls(context=context)
        if settings.EMAIL_HOST_USER:
            server.login(settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD)
        server.noop()
    encrypted = settings.EMAIL_USE_SSL or settings.EMAIL_USE_TLS
    if encrypted:
        yield ok("mail", f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT} takes our hello")
    else:
        yield Finding(
            "mail",
            "warning",
            "Mails, links that open accounts included, go unencrypted.",
            "Use smtp+tls:// or smtps://.",
        )


def look_at_disk() -> Iterator[Finding]:
    for subject, folder in (("media", settings.MEDIA_ROOT), ("files", str(settings.VAR_DIR))):
        os.makedirs(folder, exist_ok=True)
        probe = os.path.join(folder, f".doctor-{uuid.uuid4().hex}")
        with open(probe, "wb") as file:
            file.write(b"x")
        os.unlink(probe)
        usage = shutil.disk_usage(folder)
        if usage.free < min(FREE_BYTES, FREE_SHARE * usage.total):
            yield Finding(subject, "error", f"{usage.free // 1024**2} MB are left in {folder}.", "Make room.")
        else:
            yield ok(subject, f"{folder} can be written, {usage.free // 1024**3} GB are free")


def look_at_public_url() -> Iterator[Finding]:
    """Ask our own public address: it must lead here, with a certificate that holds and a clock that agrees."""
    parts = urlsplit(settings.PUBLIC_URL)
    if parts.scheme == "https":
        yield _certificate(parts.hostname or "", parts.port or 443)
    try:
        with urllib.request.urlopen(f"{settings.PUBLIC_URL}/readyz", timeout=WAIT_SECONDS) as answer:  # noqa: S310
            said = answer.headers.get("Date")
    except urllib.error.HTTPError as error:
        said = error.headers.get("Date")
        yield Finding("public address", "error", f"/readyz answers {error.code}.", "Look at the log and the proxy.")
    else:
        yield ok("public address", f"{settings.PUBLIC_URL} leads to a ready server")
    if said:
        away = abs((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
        if away > CLOCK_SECONDS + 1:  # the header counts whole seconds
            yield Finding("clock", "error", f"This clock and the proxy's differ by {away:.0f} s.", "Run chrony or NTP.")
        else:
            yield ok("clock", "agrees with the public address")


def _certificate(host: str, port: int) -> Finding:
    with (
        socket.create_connection((host, port), timeout=WAIT_SECONDS) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as wire,
    ):
        ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str((wire.getpeercert() or {})["notAfter"])), UTC)
    days = (ends - datetime.now(UTC)).days
    if days < CERTIFICATE_DAYS:
        return Finding("TLS", "warning", f"The certificate of {host} ends in {days} days.", "Renew it.")
    return ok("TLS", f"the certificate of {host} holds for {days} days")


def look_at_database_clock() -> Iterator[Finding]:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        away = abs((cursor.fetchone()[0] - datetime.now(UTC)).total_seconds())
    if away > CLOCK_SECONDS:
        yield Finding("clock", "error", f"This clock and the database's differ by {away:.0f} s.", "Run chrony or NTP.")
    else:
        yield ok("clock", "agrees with the database's")


Examination = Callable[[], Iterator[Finding]]
# Subject, examination, and what to do where it ends in an error of its own.
EXAMINATIONS: list[tuple[str, Examination, str]] = [
    ("settings", look_at_settings, "Mend the settings."),
    ("database", look_at_database, "Look at DATABASE_URL and whether PostgreSQL runs."),
    ("replica", look_at_replica, "Look at DATABASE_REPLICA_URL. Until it answers the primary serves alone."),
    ("clock", look_at_database_clock, "Look at the database first."),
    ("Redis", look_at_redis, "Look at REDIS_URL and whether Redis runs. Until then chat goes on by the sweep."),
    ("wakes", look_at_wakes, "Look at WAKES_URL and REDIS_URL. Until then chat goes on by the sweep."),
    ("mail", look_at_mail, "Look at EMAIL_URL: host, port, scheme (smtp+tls:// or smtps://), user and password."),
    ("disk", look_at_disk, "Give the user of the server the right to write there."),
    (
        "attachments",
        services.look_at_store,
        "Look at STORAGE_URL (host, bucket, key, secret, this clock) or MEDIA_ROOT. Until then no upload is taken.",
    ),
    ("scanner", services.look_at_scanner, "Look at ATTACHMENT_SCAN_URL. Until it answers no upload is taken."),
    ("video and sound", services.look_at_decoders, ""),
    ("SMS", services.look_at_sms, "Look at SMS_URL, and whether this server may connect to the gateway."),
    ("push", services.look_at_push, "docs/push.md says where each key comes from."),
    ("telemetry", services.look_at_telemetry, "Look at OTEL_EXPORTER_OTLP_ENDPOINT and SENTRY_DSN."),
    ("public address", look_at_public_url, "Look at PUBLIC_URL, the name's address, the proxy and its certificate."),
]


def examine() -> Iterator[Finding]:
    for subject, look, advice in EXAMINATIONS:
        try:
            yield from look()
        except Exception as error:
            # The class and the system's words; a URL with a password never stands in them.
            said = " ".join(str(error).split())[:200]
            yield Finding(subject, "error", f"{type(error).__name__}: {_without_secrets(said)}", advice)


def _without_secrets(text: str) -> str:
    """Leave out every password and token of the settings."""
    urls = (
        settings.EMAIL_URL,
        settings.DATABASE_URL,
        settings.DATABASE_REPLICA_URL,
        settings.STORAGE_URL,
        settings.SMS_URL,
        *settings.REDIS_URLS,
        *settings.WAKES_URLS,
    )
    passwords = [urlsplit(url).password for url in urls]
    for secret in (*passwords, *map(unquote, filter(None, passwords)), settings.SMS_TOKEN):
        if secret:
            text = text.replace(secret, "…")
    return text
