"""What processes share beside wakes, wherever it is kept: a cache, counts, open sockets; one suite for every place."""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from chat.hub.presence_entries import LIFETIME_SECONDS, Entry
from chat.hub.presence_redis import RedisSockets
from chat.hub.presence_table import TableSockets
from common import database_cache, rates, redis_places, shared_cache, shared_table
from common.database_cache import DatabaseCache
from common.shared_cache import Breaker, CacheAway, SharedCache
from tests import engines, live
from tests.conftest import NAMES

# NATS carries wakes alone.
KEEPING = [one for one in NAMES if one.id != "nats"]
pytestmark = [pytest.mark.live, pytest.mark.parametrize("engine", KEEPING, indirect=True, scope="session")]


@pytest.fixture(autouse=True)
def _fresh(engine: engines.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(shared_cache, "_breaker", Breaker())
    monkeypatch.setattr(database_cache, "_breaker", Breaker())
    monkeypatch.setattr(redis_places, "_clients", {})
    if isinstance(engine, engines.PostgreSQL):
        parameters = psycopg.conninfo.conninfo_to_dict(engine.server.url)
        monkeypatch.setattr(shared_table, "_parameters", lambda: dict(parameters))
    yield
    shared_table.close()


@pytest.fixture
def store(engine: engines.Engine) -> Any:
    """The cache of a process."""
    if isinstance(engine, engines.PostgreSQL):
        return DatabaseCache("", {})
    return SharedCache(redis_places.split(engine.settings["REDIS_URL"]), {})


@pytest.fixture
def sockets(engine: engines.Engine) -> Any:
    """The open sockets of all processes."""
    if isinstance(engine, engines.PostgreSQL):
        return TableSockets()
    return RedisSockets(redis_places.split(engine.settings["REDIS_URL"]))


def test_it_is_a_cache(store: Any) -> None:
    data: dict[str, Any] = {f"k{number}": {"number": number} for number in range(30)}
    store.set_many(data, 60)
    assert store.get_many([*data, "none"]) == data
    store.set("k0", "new")
    assert (store.get("k0"), store.get("none"), store.get("none", 7)) == ("new", None, 7)
    store.set("forever", 1, None)
    assert store.get("forever") == 1
    assert (store.touch("k1", 60), store.touch("none", 60)) == (True, False)
    assert (store.delete("k1"), store.delete("k1")) == (True, False)
    store.delete_many([f"k{number}" for number in range(15)])
    assert len(store.get_many(data)) == 15
    store.clear()
    assert store.get_many(data) == {}


def test_what_is_there_is_not_added_again(store: Any) -> None:
    assert (store.add("a", 1, 60), store.add("a", 2, 60), store.get("a")) == (True, False, 1)
    assert store.add_many({"a": 3, "b": 3, "c": 3}, 60) == {"b", "c"}
    assert store.get_many(["a", "b", "c"]) == {"a": 1, "b": 3, "c": 3}
    store.clear()


def test_one_of_many_at_once_adds_it(store: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda number: bool(store.add("slot", number, 60)), range(40))) == 1
    store.clear()


def test_counts_are_exact_and_their_window_ends_once(store: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.hit("rate", 60), range(40)))
    assert sorted(count for count, _ in found) == list(range(1, 41))
    assert all(0 < left <= 60 for _, left in found)
    store.clear()
    assert store.hit("rate", 60)[0] == 1
    store.clear()


def entry(user_id: int, at: float = 0.0) -> Entry:
    return Entry(user_id, uuid.uuid4(), uuid.uuid4().hex, at or time.time())


def by_place(sockets: Any, entries: list[Entry]) -> list[list[Entry]]:
    places: dict[int, list[Entry]] = {}
    for one in entries:
        places.setdefault(sockets.place_of(one.user_id), []).append(one)
    return list(places.values())


def states(sockets: Any, user_ids: list[int]) -> tuple[set[int], set[int]]:
    """Return who is online and who was seen."""
    online, seen = set(), set()
    for chunk in by_place(sockets, [entry(user_id) for user_id in user_ids]):
        one, other = sockets.states([each.user_id for each in chunk])
        online |= one
        seen |= set(other)
    return online, seen


def test_open_sockets_are_known_to_all_until_they_close_or_are_not_renewed(
    sockets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [entry(user_id, at=1_000.0) for user_id in range(1, 101)]
    second = [entry(user_id, at=2_000.0) for user_id in range(1, 101)]
    for chunk in by_place(sockets, first):
        assert {name: [one.connection_id for one in found] for name, found in sockets.open(chunk).items()} == {
            one.connection_id: [one.connection_id] for one in chunk
        }
    for chunk in by_place(sockets, second):
        assert all(len(found) == 2 for found in sockets.open(chunk).values())
        sockets.beat(chunk)
    for chunk in by_place(sockets, first):
        sockets.close(chunk, time.time())
    assert states(sockets, [1, 50, 100, 101])[0] == {1, 50, 100}
    for chunk in by_place(sockets, second[:50]):
        sockets.close(chunk, time.time())
    online, seen = states(sockets, list(range(1, 102)))
    assert online == set(range(51, 101))
    assert seen >= set(range(1, 51))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME_SECONDS + 2)  # their process was killed
    assert states(sockets, list(range(1, 102)))[0] == set()


def test_while_it_is_away_callers_hear_so_and_later_it_is_found_again(
    engine: engines.Engine, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_cache, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(rates, "cache", store)
    monkeypatch.setattr("django.conf.settings.RATE_LIMITS", {"login": "5/min"})
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        store.set(key, 1, 600)
    engine.carrier().kill()
    try:
        if not engine.fails_over:
            with pytest.raises(CacheAway):
                [store.get(key) for key in keys]
        for number in range(20):
            assert rates.hit(name="login", key=f"away{number}") is None  # counted here, meanwhile
    finally:
        engine.heal()
    live.wait_until(lambda: all(_set(store, key) for key in keys))
    assert len(store.get_many(keys)) == len(keys)


def _set(store: Any, key: str) -> bool:
    try:
        store.set(key, 1, 600)
    except CacheAway:
        return False
    return True
