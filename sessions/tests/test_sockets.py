"""Open sockets are counted with a lifetime."""

import uuid

import pytest
from django.conf import settings
from django.core.cache import cache

from sessions.places import sockets
from sessions.tests.clock import later


@pytest.fixture
def our_clock(settings):
    """Lifetimes by the clock that a test can move: Valkey has one of its own."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


def test_sockets_come_and_go():
    phone, tablet = uuid.uuid4(), uuid.uuid4()
    for connection in ("a", "b"):
        sockets.opened(phone, connection)
    sockets.opened(tablet, "c")
    assert sockets.count([phone, tablet]) == {phone: 2, tablet: 1}
    sockets.closed(phone, "a")
    assert sockets.count([phone, tablet]) == {phone: 1, tablet: 1}


@pytest.mark.usefixtures("our_clock")
def test_a_killed_process_leaves_no_ghosts():
    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    with later(seconds=91):
        assert sockets.count([sid]) == {sid: 0}


@pytest.mark.usefixtures("our_clock")
def test_a_beat_keeps_them():
    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    with later(seconds=60):
        sockets.beat([(sid, "a")])
    with later(seconds=120):
        assert sockets.count([sid]) == {sid: 1}


@pytest.mark.valkey
def test_the_shared_cache_forgets_a_socket_by_itself():
    from redis import Redis

    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    with Redis.from_url(settings.REDIS_URLS[0]) as client:
        lifetimes = [client.ttl(key) for key in client.scan_iter(f"*{sid}*")]
    assert len(lifetimes) == 1
    assert 0 < lifetimes[0] <= sockets.LIFETIME_SECONDS


def test_a_beat_brings_back_what_the_cache_lost():
    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    cache.clear()
    assert sockets.count([sid]) == {sid: 0}
    sockets.beat([(sid, "a")])
    assert sockets.count([sid]) == {sid: 1}


def test_a_slot_is_free_again():
    sid = uuid.uuid4()
    for number in range(20):
        sockets.opened(sid, str(number))
        sockets.closed(sid, str(number))
    sockets.opened(sid, "last")
    assert sockets.count([sid]) == {sid: 1}


def test_with_the_cache_away_nothing_is_raised(monkeypatch):
    def away(*args, **kwargs):
        raise ConnectionError

    for name in ("add", "delete", "set_many", "get_many"):
        monkeypatch.setattr(type(cache._connections["default"]), name, away)
    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    sockets.beat([(sid, "a")])
    sockets.closed(sid, "a")
    assert sockets.count([sid]) == {sid: 0}
