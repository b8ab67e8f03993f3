"""What a login costs beside its hash alone, and how many statements it takes.

    python -m benchmarks.login [--calls 100] [--cpu]

In this process, against a fresh SQLite database, or the one of `python -m tests.servers python -m benchmarks.login`.
Statements are counted on SQLite: what goes through a pipeline of PostgreSQL is not seen by Django's cursors.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from benchmarks.accounts_setup import database


def medians_ms(things: list[Callable[[], object]], calls: int, clock: Callable[[], float]) -> list[float]:
    """Time the things by turns, so that whatever else the machine does falls on all of them alike."""
    taken: list[list[float]] = [[] for _ in things]
    for turn in range(calls + 5):
        for thing, times in zip(things, taken, strict=True):
            started = clock()
            thing()
            if turn >= 5:  # the first ones warm up
                times.append(clock() - started)
    return [statistics.median(times) * 1000 for times in taken]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--cpu", action="store_true", help="this thread's CPU time, for a machine that does other work")
    options = parser.parse_args()
    calls, clock = options.calls, time.thread_time if options.cpu else time.perf_counter
    with database():
        from django.contrib.auth.hashers import check_password
        from django.db import connection
        from django.test.utils import CaptureQueriesContext
        from rest_framework.test import APIClient

        from users.models import User

        password = "a good password 1"
        user = User.objects.create_user("alice", email="alice@example.com", password=password)
        api = APIClient()

        def login(given: str = password, **more: str) -> None:
            api.post("/api/auth/login/", {"username": "alice", "password": given, **more})

        hash_alone, whole = medians_ms(
            [lambda: check_password(password, user.password), lambda: login(device_fingerprint="phone")], calls, clock
        )
        print(f"hash alone  {hash_alone:6.2f} ms")
        print(f"whole login {whole:6.2f} ms, {whole - hash_alone:+.2f} ms for everything else ({connection.vendor})")
        if connection.vendor != "sqlite":
            return
        for name, more in {"without a fingerprint": {}, "with one, replacing": {"device_fingerprint": "phone"}}.items():
            with CaptureQueriesContext(
                connection,
            ) as queries:
                login(**more)
            print(f"login {name}: {len(queries)} statements")
        with CaptureQueriesContext(connection) as queries:
            login("wrong")
        print(f"refused login: {len(queries)} statements")
        for query in queries:
            print("   ", query["sql"][:110])


if __name__ == "__main__":
    main()
