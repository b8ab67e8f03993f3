"""Rates: exact under parallel use, on the shared cache, in one process, and while the cache is away."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.cache.backends.locmem import LocMemCache
from django.test import override_settings

from common import rates, shared_cache
from common.errors import Throttled
from common.shared_cache import Breaker, CacheAway, SharedCache

RATE = override_settings(RATE_LIMITS={"login": "5/min", "none": "0"})
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    """A cache of this process, which follows the moved clock, unless the test brings another; no pause left behind."""
    monkeypatch.setattr(rates, "_local", rates._Local())
    store = LocMemCache("tests-of-rates", {})
    monkeypatch.setattr(rates, "cache", store)
    shared_cache._breaker = Breaker()
    yield
    store.clear()
    shared_cache._breaker = Breaker()


def use(times, key="a"):
    return [rates.hit(name="login", key=key) is None for _ in range(times)]


def in_parallel(times):
    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(lambda _: rates.hit(name="login", key="p") is None, range(times)))


@RATE
def test_a_window_begins_with_the_first_use():
    with time_machine.travel(NOW, tick=False) as clock:
        clock.shift(timedelta(seconds=59))  # a window by the clock's minute would end now
        assert use(3) == [True] * 3
        clock.shift(timedelta(seconds=2))
        assert use(3) == [True, True, False]
        assert rates.hit(name="login", key="a") == pytest.approx(58)
        clock.shift(timedelta(seconds=58))
        assert use(6) == [True] * 5 + [False]


@RATE
def test_keys_and_none():
    assert use(5, "a") == use(5, "b") == [True] * 5
    assert all(rates.hit(name="none", key="a") is None for _ in range(100))
    with pytest.raises(Throttled) as refusal:
        rates.allow(name="login", key="a")
    assert 1 <= refusal.value.retry_after <= 60


@RATE
def test_parallel_uses_in_one_process_pass_exactly():
    assert in_parallel(200) == 5


@pytest.mark.parametrize("bad", ["5", "x/min", "5/fortnight", "-5/min"])
def test_a_bad_rate_is_named(bad):
    with pytest.raises(ValueError, match="rate"):
        rates.parse(bad)


@pytest.fixture
def shared(valkey_url, monkeypatch):
    store = SharedCache(valkey_url, {"KEY_PREFIX": f"test{time.monotonic_ns()}"})
    monkeypatch.setattr(rates, "cache", store)
    return store


class TestOnTheSharedCache:
    @RATE
    def test_parallel_uses_pass_exactly(self, shared):
        assert in_parallel(200) == 5

    @RATE
    def test_the_window_ends_by_itself(self, shared):
        use(5)
        key = shared.make_key("rate:login:a")
        client = shared._cache.get_client(key)
        assert 59_000 < client.pttl(key) <= 60_000
        client.pexpire(key, 1)
        deadline = time.monotonic() + 2
        while not use(1)[0]:
            assert time.monotonic() < deadline

    @RATE
    def test_a_window_without_an_end_gets_one(self, shared):
        key = shared.make_key("rate:login:a")
        shared._cache.get_client(key).set(key, 9)
        assert 0 < rates.hit(name="login", key="a") <= 60

    def test_keys_are_spread_over_servers_and_found_again(self, valkey_url):
        store = SharedCache([f"{valkey_url.rstrip('/')}/{number}" for number in (1, 2, 3)], {})
        store.clear()
        data = {f"k{number}": number for number in range(30)}
        store.set_many(data, 60)
        assert store.get_many(data) == data
        assert all(store.get(key) == value for key, value in data.items())
        assert all(store._cache._at(index).dbsize() for index in range(3))
        store.delete_many([f"k{number}" for number in range(15)])
        assert len(store.get_many(data)) == 15
        assert store.add("k0", 1, 60)
        assert store.incr("k0") == 2
        store.clear()
        assert store.get_many(data) == {}


@pytest.fixture
def hanging(monkeypatch):
    """A server that accepts and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(50)
    monkeypatch.setattr(shared_cache, "TIMEOUT_SECONDS", 0.1)
    store = SharedCache(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", {})
    monkeypatch.setattr(rates, "cache", store)
    yield store
    listener.close()


class TestWhileTheCacheIsAway:
    @RATE
    def test_a_hanging_server_costs_one_time_limit_and_rates_go_on(self, hanging):
        started = time.monotonic()
        assert use(6) == [True] * 5 + [False]
        assert time.monotonic() - started < 0.5
        assert in_parallel(100) == 5

    def test_a_dead_server_is_away_at_once(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        store = SharedCache(f"redis://127.0.0.1:{port}/0", {})
        for call in (lambda: store.get("a"), lambda: store.add("a", 1), lambda: store.hit("a", 60)):
            with pytest.raises(CacheAway):
                call()


class TestTheBreaker:
    def test_after_the_pause_one_call_tries_and_success_closes_it(self, monkeypatch):
        clock = [1000.0]
        monkeypatch.setattr(shared_cache.time, "monotonic", lambda: clock[0])
        breaker, calls = Breaker(), []

        def fail():
            calls.append(1)
            raise OSError

        for _ in range(5):
            with pytest.raises(CacheAway):
                breaker.run(fail)
        assert len(calls) == 1
        clock[0] += 6
        for _ in range(5):
            with pytest.raises(CacheAway):
                breaker.run(fail)
        assert len(calls) == 2
        clock[0] += 6
        assert [breaker.run(lambda: "ok") for _ in range(3)] == ["ok"] * 3

    def test_an_error_of_the_caller_is_not_the_servers(self):
        breaker = Breaker()
        with pytest.raises(ValueError, match="mine"):
            breaker.run(lambda: (_ for _ in ()).throw(ValueError("mine")))
        assert breaker.run(lambda: 1) == 1


def test_threads_share_the_breaker(hanging):
    with pytest.raises(CacheAway):
        hanging.get("a")
    seen = []

    def other():
        started = time.monotonic()
        with pytest.raises(CacheAway):
            hanging.get("b")
        seen.append(time.monotonic() - started)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen[0] < 0.05


@pytest.mark.parametrize("none", ["0", "", "0/min", "0/5min"])
def test_a_rate_of_0_is_none(none):
    assert rates.parse(none) is None
