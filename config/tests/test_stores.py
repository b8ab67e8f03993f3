"""Two settings say what carries wakes and where processes share the rest; what is wrong in them is refused."""

from types import SimpleNamespace
from typing import Any

import pytest
from environs import validate

from common import redis_places
from common.redis_places import Place
from config import checks, environment, stores

REDIS = "chat.hub.wakes.redis.RedisWakes"
CLUSTER = "redis+cluster://a:6379,b"
SENTINEL = "redis+sentinel://a,b:26380/mymaster"


@pytest.mark.parametrize(
    ("wakes_url", "redis_url", "backend", "urls", "shared"),
    [
        ("", "", REDIS, [], "memory"),
        ("", "redis://a", REDIS, ["redis://a"], "redis"),
        ("", "redis://a/0, rediss://b", REDIS, ["redis://a/0", "rediss://b"], "redis"),
        ("", CLUSTER, "chat.hub.wakes.cluster.ClusterWakes", [CLUSTER], "redis"),
        ("", SENTINEL, "chat.hub.wakes.sentinel.SentinelWakes", [SENTINEL], "redis"),
        ("nats://a, nats://b", "redis://a", "chat.hub.wakes.nats.NatsWakes", ["nats://a", "nats://b"], "redis"),
        ("nats://a", "", "chat.hub.wakes.nats.NatsWakes", ["nats://a"], "database"),
        ("postgresql", "", "chat.hub.wakes.postgresql.PostgresqlWakes", [""], "database"),
        ("postgresql://h/d", "redis://a", "chat.hub.wakes.postgresql.PostgresqlWakes", ["postgresql://h/d"], "redis"),
        ("redis://w", "redis://a", REDIS, ["redis://w"], "redis"),
    ],
    ids=[
        "none",
        "redis",
        "several",
        "cluster",
        "sentinel",
        "nats",
        "nats-alone",
        "postgresql",
        "straight",
        "two-redis",
    ],
)
def test_every_combination_has_a_home_for_everything(
    wakes_url: str, redis_url: str, backend: str, urls: list[str], shared: str
) -> None:
    stores.wakes_url(wakes_url)
    stores.redis_urls(redis_url)
    assert stores.wakes(wakes_url, redis_url) == (backend, urls)
    assert stores.shared(wakes_url, redis_url) == shared


@pytest.mark.parametrize(
    "text",
    [
        "redis",
        "http://a",
        "redis://a,http://b",
        "redis+cluster://",
        "redis+cluster://a:x",
        "redis+cluster://a:0",
        "redis+cluster://a:70000",
        "redis+cluster://a/1",
        "redis+cluster://a?db=1",
        "redis+sentinel://a",
        "redis+sentinel://a/",
        "redis+sentinel://a/mymaster/x",
        "redis+sentinel://a/mymaster?colour=red",
        "redis+other://a",
    ],
)
def test_a_redis_url_that_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(validate.ValidationError):
        stores.redis_urls(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgres",
        "nats",
        "nats://",
        "nats://a,redis://b",
        "postgresql://h/d?colour=red",
        "kafka://a",
        "redis+cluster://",
    ],
)
def test_a_wakes_url_that_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(validate.ValidationError):
        stores.wakes_url(text)


def test_nats_without_its_client_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(validate.ValidationError, match=r"requirements-nats\.txt"):
        stores.wakes_url("nats://a")


def test_all_parts_of_an_address_are_read() -> None:
    text = "rediss+sentinel://me:p%40ss@a:1,[::1]:2,c/m%2Fain/3?sentinel_password=x"
    assert redis_places.parse(text) == Place(
        "sentinel", (("a", 1), ("::1", 2), ("c", 26379)), True, "me", "p@ss", "m/ain", 3, sentinel_password="x"
    )
    assert redis_places.parse("redis+cluster://:secret@a,b:7").login == {"password": "secret"}
    assert redis_places.address(redis_places.parse(text), "::1", 5) == "rediss://[::1]:5"


GOOD: dict[str, Any] = {
    "WORKERS": 2,
    "EMBEDDED_DATABASE": False,
    "DATABASE_POOLED_BY": "none",
    "INSTALLED_APPS": ["rest_framework_simplejwt.token_blacklist"],
    "SIMPLE_JWT": {"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True},
}


@pytest.mark.parametrize(
    ("wakes_url", "redis_url", "change", "faults"),
    [
        ("postgresql", "", {}, []),
        ("nats://a", "", {}, []),
        ("", "", {}, ["alviar.E002"]),
        ("nats://a", "", {"WORKERS": 1, "EMBEDDED_DATABASE": True}, ["alviar.E005"]),
        ("postgresql", "redis://a", {"WORKERS": 1, "EMBEDDED_DATABASE": True}, ["alviar.E006"]),
        ("postgresql", "", {"DATABASE_POOLED_BY": "pgbouncer"}, ["alviar.E007"]),
        ("postgresql://h/d", "", {"DATABASE_POOLED_BY": "pgbouncer"}, []),
    ],
    ids=["postgresql", "nats", "none", "nats-sqlite", "postgresql-sqlite", "pooled", "pooled-straight"],
)
def test_what_cannot_work_does_not_start(
    wakes_url: str, redis_url: str, change: dict[str, Any], faults: list[str]
) -> None:
    _, urls = stores.wakes(wakes_url, redis_url)
    shared = stores.shared(wakes_url, redis_url)
    settings = SimpleNamespace(**GOOD | {"WAKES_URL": wakes_url, "WAKES_URLS": urls, "SHARED_STORE": shared} | change)
    assert [message.id for message in checks._everywhere(settings)] == faults


@pytest.mark.parametrize(
    "url", ["redis://h:99999/0", "redis://h:x/0", "redis://h:6379/cache", "redis://h/0/1", "http://h"]
)
def test_a_redis_address_that_would_lead_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(validate.ValidationError):
        stores.redis_urls(url)


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://u:p%2F@h:6379/15", "rediss://[::1]:1/", "unix:///run/r.sock?db=1", ""]
)
def test_a_redis_address_that_is_one_is_taken(url: str) -> None:
    stores.redis_urls(url)
