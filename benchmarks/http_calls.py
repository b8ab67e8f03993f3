"""Profile, verify, refresh, session list and login a second, and how long one waits, beside stock servers.

    python -m benchmarks.http_calls [--seconds 3] [--rounds 3] [--windows 1,4,16,64] [--json FILE]

Servers, PostgreSQL (fsync) and Valkey run on the first core and the load on the second, one process each, rates off;
the peers take turns in each round and the median counts. Alviar checks the session in the database at every request and
a refresh rotates under a lock and can be repeated safely. Its peers: simplejwt as its documentation sets it up (with
rotation and blacklist, Django's own user) on gunicorn's threads and on uvicorn; allauth's headless API on gunicorn's
threads, for login and the list of sessions (six rows, as here). For login all use a hash that costs next to nothing.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import select
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import servers
from benchmarks.people import PASSWORD
from benchmarks.progress import Progress
from tests.servers import create_database

CALLS = ("me", "verify", "refresh", "sessions", "login")
SESSIONS = 6  # of each person
# The cheapest Argon2 there is, unsafe anywhere else: a login is timed almost without its hash.
NO_HASH = {"ARGON2_MEMORY_KIB": "8", "ARGON2_TIME_COST": "1"}
AIMS = {"me": 2_000, "verify": 1_800, "refresh": 1_000, "sessions": 1_200, "login": 400}


def request(server: str, call: str, person: dict[str, str], number: int) -> bytes:
    host = "Host: 127.0.0.1\r\nUser-Agent: benchmark\r\n"
    if call in {"me", "sessions"}:
        path = "/api/users/me/" if call == "me" else "/api/users/sessions/"
        token = f"Authorization: Bearer {person['access']}\r\n"
        if server == "allauth":
            path, token = "/_allauth/app/v1/auth/sessions", f"X-Session-Token: {person['access']}\r\n"
        return f"GET {path} HTTP/1.1\r\n{host}{token}\r\n".encode()
    body = {
        "verify": {"token": person["access"]},
        "refresh": {"refresh": person["refresh"]},
        "login": {"username": f"person{number:04}", "password": PASSWORD},
    }[call]
    path = {"verify": "/api/auth/token/verify/", "refresh": "/api/auth/token/refresh/", "login": "/api/auth/login/"}[
        call
    ]
    path = "/_allauth/app/v1/auth/login" if server == "allauth" else path
    text = json.dumps(body)
    kind = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    return f"POST {path} HTTP/1.1\r\n{host}{kind}\r\n{text}".encode()


def answer(data: bytes) -> bytes | None:
    """Return the body once all of it is here."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data[:600].decode(errors="replace"))
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return body if len(body) >= length else None


def load(server: str, port: int, call: str, people: list[dict[str, str]], seconds: float, pipe: Connection) -> None:
    """Keep one request under way on each connection, each of a person of its own."""
    poll = select.epoll()
    connections: dict[int, list[Any]] = {}
    waits: list[float] = []
    for number, person in enumerate(people):
        opened = socket.create_connection(("127.0.0.1", port), 20)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[opened.fileno()] = [opened, person, number, b"", time.perf_counter()]
        poll.register(opened.fileno(), select.EPOLLIN)
        opened.sendall(request(server, call, person, number))
    began = time.perf_counter()
    busy = len(connections)
    while busy:
        for descriptor, _ in poll.poll(20):
            state = connections[descriptor]
            opened, person, number, before, sent = state
            data = before + opened.recv(65_536)
            body = answer(data)
            if body is None:
                state[3] = data
                continue
            now = time.perf_counter()
            waits.append(now - sent)
            if call == "refresh":
                person.update({key: value for key, value in json.loads(body).items() if key in ("access", "refresh")})
            if now - began < seconds:
                state[3], state[4] = b"", now
                opened.sendall(request(server, call, person, number))
            else:
                poll.unregister(descriptor)
                opened.close()
                busy -= 1
    marks = statistics.quantiles(waits, n=100)
    pipe.send((len(waits) / (time.perf_counter() - began), marks[49] * 1000, marks[98] * 1000, people))


def measure(server: servers.Running, call: str, connections: int, seconds: float) -> dict[str, float]:
    """Return requests a second, p50 and p99 of what a client waits (ms), requests a second of the server's own time."""
    here, there = multiprocessing.Pipe()
    people = server.people[:connections]
    arguments = (server.name, server.port, call, people, seconds, there)
    client = multiprocessing.Process(target=load, args=arguments, daemon=True)
    busy_before, began = servers.cpu_seconds_of_all(server.pid), time.perf_counter()
    client.start()
    rate, p50, p99, server.people[:connections] = here.recv()
    answered = rate * (time.perf_counter() - began)
    busy = servers.cpu_seconds_of_all(server.pid) - busy_before
    client.join(5)
    return {"rate": rate, "p50": p50, "p99": p99, "by_cpu": answered / max(busy, 0.01)}


@contextlib.contextmanager
def all_servers(people: int) -> Iterator[list[servers.Running]]:
    with ExitStack() as stack:
        with servers.on_serving_core():
            running = [stack.enter_context(servers.alviar(people=people, sessions=SESSIONS, **NO_HASH))]
            database = stack.enter_context(servers.postgresql())
            for name, module, gunicorn in (
                ("simplejwt, gunicorn", "stock_jwt", True),
                ("simplejwt, uvicorn", "stock_jwt", False),
                ("allauth", "allauth_sessions", True),
            ):
                one = servers.django_peer(
                    name,
                    module,
                    database_url=create_database(database.url, f"peer{len(running)}"),
                    gunicorn=gunicorn,
                    people=(people, SESSIONS),
                    **NO_HASH,
                )
                running.append(stack.enter_context(one))
        yield running


def has(server: servers.Running, call: str) -> bool:
    if server.name == "allauth":
        return call in {"sessions", "login"}
    return server.name == "Alviar" or call != "sessions"


def run(*, windows: list[int], rounds: int, seconds: float) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return figures by call, window and server."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    bar = Progress(len(CALLS) * len(windows))
    with all_servers(max(windows)) as running:
        for call in CALLS:
            taking = [server for server in running if has(server, call)]
            for server in taking:
                measure(server, call, 4, 1)  # warm
            for window in windows:
                rows: dict[str, list[dict[str, float]]] = {server.name: [] for server in taking}
                for _ in range(rounds):
                    for server in taking:
                        rows[server.name].append(measure(server, call, window, seconds))
                found.setdefault(call, {})[str(window)] = {
                    name: {key: statistics.median(row[key] for row in each) for key in each[0]}
                    for name, each in rows.items()
                }
                bar.step(f"{call}, {window} at a time")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", default="1,4,16,64")
    parser.add_argument("--json", help="write the figures into this file as well")
    options = parser.parse_args()
    windows = [int(window) for window in options.windows.split(",")]
    found = run(windows=windows, rounds=options.rounds, seconds=options.seconds)
    print(f"$ python -m benchmarks.http_calls --rounds {options.rounds}  ({os.cpu_count()} cores)")
    print(f"{'':<10}{'at a time':>10}  requests/s (p50 ms; by second of the server's own time)")
    for call, by_window in found.items():
        for window, rows in by_window.items():
            shown = "   ".join(
                f"{name} {row['rate']:,.0f} ({row['p50']:.1f}; {row['by_cpu']:,.0f})" for name, row in rows.items()
            )
            print(f"{call:<10}{window:>10}  {shown}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
