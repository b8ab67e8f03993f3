"""What carries wakes between processes, and where processes share cache, rates and presence, by two settings.

| `WAKES_URL` | `REDIS_URL` | wakes | cache, rates, presence |
|---|---|---|---|
| | | none: one process | its memory |
| | any of its forms | that Redis | that Redis |
| `nats://…` | any of its forms | NATS | that Redis |
| `nats://…` | | NATS | PostgreSQL |
| `postgresql` or `postgresql://…` | any of its forms | PostgreSQL | that Redis |
| `postgresql` or `postgresql://…` | | PostgreSQL | PostgreSQL |
"""

import re
from urllib.parse import urlsplit

from environs import validate

from common import redis_places
from config.environment import needs

REDIS = {"single": "redis.RedisWakes", "cluster": "cluster.ClusterWakes", "sentinel": "sentinel.SentinelWakes"}
REDIS_SCHEMES = tuple(f"{s}{kind}://" for s in ("redis", "rediss") for kind in ("", "+cluster", "+sentinel"))
NATS_SCHEMES = ("nats://", "tls://")


def wakes(wakes_url: str, redis_url: str) -> tuple[str, list[str]]:
    """Return the class that carries wakes, and its addresses; none where one process is alone."""
    url = wakes_url.strip() or redis_url.strip()
    if url.startswith("postgresql"):
        return "chat.hub.wakes.postgresql.PostgresqlWakes", [url.removeprefix("postgresql") and url]
    if url.startswith(NATS_SCHEMES):
        return "chat.hub.wakes.nats.NatsWakes", [one.strip() for one in url.split(",") if one.strip()]
    return f"chat.hub.wakes.{REDIS[redis_places.kind_of(url)]}", redis_places.split(url)


def shared(wakes_url: str, redis_url: str) -> str:
    """Return where processes share their counts: `redis`, `database`, or `memory` where one process is alone."""
    if redis_url.strip():
        return "redis"
    return "database" if wakes_url.strip() else "memory"


def wakes_url(text: str) -> None:
    """Raise ValidationError unless the text is one of the table above."""
    if not text or text == "postgresql":
        return
    if text.startswith("postgresql://"):
        _postgresql(text)
    elif text.startswith(NATS_SCHEMES):
        if not all(one.strip().startswith(NATS_SCHEMES) and len(one.strip()) > 7 for one in text.split(",")):
            raise validate.ValidationError("Not addresses such as nats://a:4222,nats://b:4222.")
        needs("nats", extra="nats")
    elif text.startswith(REDIS_SCHEMES):
        redis_urls(text)
    else:
        raise validate.ValidationError("Not postgresql, nor a postgresql://, nats:// or redis:// address.")


def redis_urls(text: str) -> None:
    """Raise ValidationError unless the text is one of the forms of `common/redis_places.py`."""
    if text and redis_places.kind_of(text) != "single":
        try:
            redis_places.parse(text)
        except ValueError as error:
            raise validate.ValidationError(str(error)) from error
        return
    for url in redis_places.split(text):
        if not url.startswith(("redis://", "rediss://", "unix://")) or not _is_sane(url):
            raise validate.ValidationError(
                "Not a redis://, rediss://, redis+cluster:// or redis+sentinel:// address such as redis://host:6379/0."
            )


def _is_sane(url: str) -> bool:
    """Return whether port and database are numbers: else the client would take another one without a word."""
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError:
        return False
    return parts.scheme == "unix" or re.fullmatch(r"(/\d*)?", parts.path) is not None


def _postgresql(text: str) -> None:
    import psycopg

    try:
        psycopg.conninfo.conninfo_to_dict(text)
    except psycopg.ProgrammingError as error:
        raise validate.ValidationError("Not a postgresql:// address that libpq understands.") from error
