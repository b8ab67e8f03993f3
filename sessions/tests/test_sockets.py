"""Open sockets are counted with a lifetime."""

import uuid

from django.core.cache import cache

from sessions import sockets
from sessions.tests.clock import later


def test_sockets_come_and_go():
    phone, tablet = uuid.uuid4(), uuid.uuid4()
    for connection in ("a", "b"):
        sockets.opened(phone, connection)
    sockets.opened(tablet, "c")
    assert sockets.count([phone, tablet]) == {phone: 2, tablet: 1}
    sockets.closed(phone, "a")
    assert sockets.count([phone, tablet]) == {phone: 1, tablet: 1}


def test_a_killed_process_leaves_no_ghosts():
    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    with later(seconds=91):
        assert sockets.count([sid]) == {sid: 0}


def test_a_beat_keeps_them_and_brings_back_what_the_cache_lost():
    sid = uuid.uuid4()
    sockets.opened(sid, "a")
    with later(seconds=60):
        sockets.beat([(sid, "a")])
    with later(seconds=120):
        assert sockets.count([sid]) == {sid: 1}
    cache.clear()
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
