"""`users/me/`, `token/refresh/` and login a second, and their statements, beside stock simplejwt views.

    python -m benchmarks.http_calls [--seconds 4] [--rounds 3] [--connections 16]

Both run on uvicorn, one process, on PostgreSQL with fsync. Alviar is as in production, rates off: every request checks
the session in the database, and a refresh rotates under a lock and can be repeated safely. The stock project is what
simplejwt's documentation sets up: rotation and blacklist on, Django's own user, the same Argon2 parameters.
"""

import argparse
import json
import multiprocessing
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection

from benchmarks import servers
from benchmarks.people import PASSWORD
from tests.servers import free_port

CALLS = ("me", "refresh", "login")


def request(call: str, person: dict[str, str], number: int) -> bytes:
    if call == "me":
        head = f"Authorization: Bearer {person['access']}\r\n"
        return f"GET /api/users/me/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n".encode()
    path, body = "token/refresh/", json.dumps({"refresh": person["refresh"]})
    if call == "login":
        path, body = "login/", json.dumps({"username": f"person{number:04}", "password": PASSWORD})
    return (
        f"POST /api/auth/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(data: bytes) -> bytes | None:
    """Return the body once all of it is here."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data[:600].decode(errors="replace"))
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return body if len(body) >= length else None


def load(port: int, call: str, people: list[dict[str, str]], seconds: float, pipe: Connection) -> None:
    """Keep one request under way on each connection, each of a person of its own."""
    poll = select.epoll()
    connections = {}
    for number, person in enumerate(people):
        opened = socket.create_connection(("127.0.0.1", port), 20)
        connections[opened.fileno()] = [opened, person, number, b""]
        poll.register(opened.fileno(), select.EPOLLIN)
        opened.sendall(request(call, person, number))
    done, began = 0, time.perf_counter()
    busy = len(connections)
    while busy:
        for descriptor, _ in poll.poll(20):
            state = connections[descriptor]
            opened, person, number, before = state
            data = before + opened.recv(65_536)
            body = answer(data)
            if body is None:
                state[3] = data
                continue
            state[3] = b""
            done += 1
            if call == "refresh":
                person.update({key: value for key, value in json.loads(body).items() if key in ("access", "refresh")})
            if time.perf_counter() - began < seconds:
                opened.sendall(request(call, person, number))
            else:
                busy -= 1
    pipe.send((done / (time.perf_counter() - began), people))


def measure(server: servers.Running, call: str, connections: int, seconds: float) -> float:
    here, there = multiprocessing.Pipe()
    people = server.people[:connections]
    client = multiprocessing.Process(target=load, args=(server.port, call, people, seconds, there), daemon=True)
    client.start()
    rate, server.people[:connections] = here.recv()
    client.join(5)
    return rate


COUNT = """
import json, os, sys
from django.db import connection
from django.test import Client

def count(call):
    seen = []
    def wrapper(execute, sql, params, many, context):
        seen.append(sql.split()[0])
        return execute(sql, params, many, context)
    with connection.execute_wrapper(wrapper):
        answer = call()
    assert answer.status_code == 200, answer.content
    return len(seen)

def counts(pair, password):
    client = Client(HTTP_HOST="127.0.0.1")
    post = lambda path, body: client.post("/api/auth/" + path, json.dumps(body), content_type="application/json")
    me = lambda: client.get("/api/users/me/", HTTP_AUTHORIZATION="Bearer " + pair["access"])
    refresh = lambda: post("token/refresh/", {"refresh": pair["refresh"]})
    login = lambda: post("login/", {"username": "person0000", "password": password})
    login()  # whatever is read once
    return {"me": count(me), "refresh": count(refresh), "login": count(login)}
"""
STOCK = (
    COUNT
    + "import benchmarks.peers.stock_jwt as stock\nprint(json.dumps(counts(stock.make_people(1)[0], 'alviar-demo')))"
)
OURS = (
    COUNT
    + "os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings'\nimport django\ndjango.setup()\n"
    + "from django.core.management import call_command\ncall_command('migrate', verbosity=0)\n"
    + "from benchmarks.people import main as make\nimport io, contextlib\nout = io.StringIO()\n"
    + "with contextlib.redirect_stdout(out): make(1, 0)\n"
    + "pair = json.loads(out.getvalue())['people'][0]\nprint(json.dumps(counts(pair, 'alviar-demo')))"
)


def statements(script: str, url: str) -> dict[str, int]:
    """Count the statements of a call (without BEGIN and COMMIT, which are none of Django's)."""
    environment = {**os.environ, "DATABASE_URL": url, "RATE_LOGIN": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=servers.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr[-3_000:])
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    from tests.servers import create_database

    with ExitStack() as stack:
        database = stack.enter_context(servers.postgresql())
        counted = {
            "Alviar": statements(OURS, create_database(database.url, "ours_counted")),
            "stock simplejwt": statements(STOCK, create_database(database.url, "stock_counted")),
        }
        ours = stack.enter_context(servers.alviar(people=options.connections))
        url = create_database(database.url, "stock")
        made = subprocess.run(
            [
                sys.executable,
                "-c",
                "import json; import benchmarks.peers.stock_jwt as stock;"
                f" print(json.dumps(stock.make_people({options.connections})))",
            ],
            cwd=servers.ROOT,
            env={**os.environ, "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=True,
        )
        port = free_port()
        application = "benchmarks.peers.stock_jwt:application"
        command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--lifespan", "off"]
        stock = stack.enter_context(
            servers.peer("stock simplejwt", [*command, *servers.UVICORN], port=port, DATABASE_URL=url)
        )
        stock.people = json.loads(made.stdout.splitlines()[-1])
        rates: dict[tuple[str, str], list[float]] = {}
        for call in CALLS:
            for server in (ours, stock):
                measure(server, call, options.connections, 1)  # warm
            for _ in range(options.rounds):
                for server in (ours, stock):
                    rate = measure(server, call, options.connections, options.seconds)
                    rates.setdefault((server.name, call), []).append(rate)
    print(f"$ python -m benchmarks.http_calls --rounds {options.rounds}  ({os.cpu_count()} cores)")
    print(f"{'':<12}{'Alviar/s':>10}{'stock/s':>10}{'ratio':>7}{'statements':>13}{'stock':>7}")
    for call in CALLS:
        mine = statistics.median(rates["Alviar", call])
        theirs = statistics.median(rates["stock simplejwt", call])
        print(
            f"{call:<12}{mine:>10,.0f}{theirs:>10,.0f}{mine / theirs:>7.2f}"
            f"{counted['Alviar'][call]:>13}{counted['stock simplejwt'][call]:>7}"
        )


if __name__ == "__main__":
    main()
