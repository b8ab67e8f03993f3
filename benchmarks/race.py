"""Race a server's refresh tokens from outside: any server that speaks `login/`, `token/refresh/` and `logout/`.

    python -m benchmarks.race --base-url https://chat.example.com --username alice --password …
    python -m benchmarks.race --serve alviar stock        # starts both here, on PostgreSQL, and compares

Refresh tokens are sent as {"refresh"}, answers read as {"access", "refresh"}; `--prefix` says where. Nothing is sent
but the calls of an ordinary client, many at one moment. Turn the server's rates off, or they are what is measured.
`--password-change` and `--guesses` change the person's password and lock the account: for a person made for this.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

GUESSES = 40


@dataclass
class Server:
    name: str
    base_url: str
    username: str
    password: str
    prefix: str = "/api/auth/"
    seen: str = "/api/users/me/"
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        self.http = httpx.Client(base_url=self.base_url, limits=limits, timeout=30)

    def post(self, call: str, body: dict[str, Any], access: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {access}"} if access else {}
        return self.http.post(f"{self.prefix}{call}", json=body, headers=headers)

    def login(self) -> dict[str, str]:
        response = self.post("login/", {"username": self.username, "password": self.password})
        if response.status_code != 200:
            sys.exit(f"{self.name}: login answers {response.status_code}: {response.text[:300]}")
        return response.json()

    def refresh(self, token: str) -> httpx.Response:
        return self.post("token/refresh/", {"refresh": token})

    def sees(self, access: str) -> bool:
        return self.http.get(self.seen, headers={"Authorization": f"Bearer {access}"}).status_code == 200


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """Run the calls from as many threads, let go at one moment."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], httpx.Response]) -> httpx.Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def successors(responses: list[httpx.Response]) -> set[str]:
    return {response.json()["refresh"] for response in responses if response.status_code == 200}


def parallel_refreshes(server: Server, threads: int, rounds: int) -> dict[str, Any]:
    """One token, `threads` refreshes at once. Right: 200 to all, one successor, which lives."""
    statuses: Counter[int] = Counter()
    replays = forked = logged_out = 0
    for _ in range(rounds):
        token = server.login()["refresh"]
        responses = at_once([lambda token=token: server.refresh(token)] * threads)
        statuses.update(response.status_code for response in responses)
        replays += sum("x-refresh-replayed" in response.headers for response in responses)
        living = [one for one in successors(responses) if server.refresh(one).status_code == 200]
        forked += len(living) > 1
        logged_out += any(response.status_code != 200 for response in responses) or not living
    return {
        "answers": {str(status): count for status, count in sorted(statuses.items())},
        "replays": replays,
        "rounds with more than one living successor": forked,
        "rounds in which a client was refused": logged_out,
        "right": forked == 0 and logged_out == 0,
    }


def refresh_beside_logout(server: Server, threads: int, rounds: int) -> dict[str, Any]:
    """Refreshes and the logout of the same session at once. Right: afterwards nothing of it lives."""
    survived = errors = 0
    for _ in range(rounds):
        pair = server.login()
        calls = [lambda pair=pair: server.refresh(pair["refresh"])] * (threads - 1)
        logout = lambda pair=pair: server.post("logout/", {"refresh": pair["refresh"]}, pair["access"])  # noqa: E731
        responses = at_once([*calls, logout])
        if responses[-1].status_code == 404:
            return {"logout": "none"}
        errors += sum(response.status_code >= 500 for response in responses)
        tokens = successors(responses[:-1]) | {pair["refresh"]}
        accesses = [response.json()["access"] for response in responses[:-1] if response.status_code == 200]
        survived += any(server.sees(access) for access in [*accesses, pair["access"]]) or any(
            server.refresh(token).status_code == 200 for token in tokens
        )
    return {"rounds in which a token survived": survived, "answers of 500": errors, "right": survived + errors == 0}


def reuse(server: Server, rounds: int) -> dict[str, Any]:
    """Rotate twice within a second, then show the first token. Right: 401, and the newest token dies with it."""
    accepted = lived = 0
    for _ in range(rounds):
        first = server.login()["refresh"]
        second = server.refresh(first).json()["refresh"]
        third = server.refresh(second).json()["refresh"]
        accepted += server.refresh(first).status_code == 200
        lived += server.refresh(third).status_code == 200
    return {"stolen token accepted": accepted, "thief's chain lived on": lived, "right": accepted + lived == 0}


def lost_answer(server: Server, rounds: int) -> dict[str, Any]:
    """Refresh, lose the answer, ask again. Right: 200 with the same bytes."""
    same = 0
    for _ in range(rounds):
        token = server.login()["refresh"]
        first, again = server.refresh(token), server.refresh(token)
        same += again.status_code == 200 and first.json()["refresh"] == again.json()["refresh"]
    return {"retries answered with the same token": f"{same} of {rounds}", "right": same == rounds}


def refresh_beside_password_change(server: Server, threads: int, rounds: int) -> dict[str, Any]:
    """Refreshes and a password change at once. Right: only the pair that the change returned lives."""
    survived = lost = errors = 0
    for number in range(rounds):
        pair, new = server.login(), f"race {time.time_ns()} {number}"
        body = {"old_password": server.password, "new_password": new, "new_password_confirm": new}
        change = lambda pair=pair, body=body: server.post("password-change/", body, pair["access"])  # noqa: E731
        *responses, changed = at_once([*[lambda pair=pair: server.refresh(pair["refresh"])] * (threads - 1), change])
        if changed.status_code != 200:
            return {"password-change answers": changed.status_code, "right": False}
        server.password = new
        errors += sum(response.status_code >= 500 for response in responses)
        own = changed.json()["refresh"]
        survived += any(server.refresh(token).status_code == 200 for token in successors(responses) - {own})
        lost += server.refresh(own).status_code != 200
    return {
        "rounds in which an old token survived": survived,
        "rounds in which the new pair was lost": lost,
        "answers of 500": errors,
        "right": survived + lost + errors == 0,
    }


def guesses(server: Server) -> dict[str, Any]:
    """Forty wrong passwords at once. Right: five are checked (401), all others find the account locked (429)."""
    wrong = {"username": server.username, "password": "wrong"}
    statuses = Counter(response.status_code for response in at_once([lambda: server.post("login/", wrong)] * GUESSES))
    return {"answers": {str(s): n for s, n in sorted(statuses.items())}, "right": statuses == {401: 5, 429: 35}}


def race(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    threads, rounds = options.threads, options.rounds
    found = {
        "parallel refreshes": parallel_refreshes(server, threads, rounds),
        "lost answer": lost_answer(server, rounds),
        "reuse": reuse(server, rounds),
        "refresh beside logout": refresh_beside_logout(server, threads, rounds),
    }
    if options.password_change:
        found["refresh beside password change"] = refresh_beside_password_change(server, threads, rounds)
    if options.guesses:
        found["forty guesses"] = guesses(server)
    return found


@contextmanager
def served(name: str) -> Iterator[Server]:
    """Start Alviar in production mode, or the stock simplejwt project with four processes, each on a PostgreSQL."""
    from benchmarks import servers
    from benchmarks.people import PASSWORD
    from tests.servers import free_port

    if name == "alviar":
        with servers.alviar(people=1) as running:
            yield Server("Alviar", f"http://127.0.0.1:{running.port}", "person0000", PASSWORD)
        return
    with servers.postgresql() as database, ExitStack() as stack:
        environment = {"DATABASE_URL": database.url}
        subprocess.run(
            [sys.executable, "-c", "from benchmarks.peers import stock_jwt; stock_jwt.make_people(1)"],
            env={**os.environ, **environment},
            check=True,
        )
        port = free_port()
        # Several processes: Django's ASGI handler runs the views of one process on a single thread.
        command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.stock_jwt:application", "--port", str(port)]
        command += ["--workers", "4", "--lifespan", "off", "--log-level", "warning"]
        stack.enter_context(servers.peer("stock simplejwt", command, port=port, **environment))
        time.sleep(3)  # the port answers before the last of the processes does
        yield Server("stock simplejwt", f"http://127.0.0.1:{port}", "person0000", PASSWORD)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url")
    parser.add_argument("--prefix", default="/api/auth/")
    parser.add_argument("--seen", default="/api/users/me/", help="a path that needs an access token")
    parser.add_argument("--username", default="alice")
    parser.add_argument("--password", default="alviar-demo")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--password-change", action="store_true")
    parser.add_argument("--guesses", action="store_true")
    parser.add_argument("--serve", nargs="+", choices=["alviar", "stock"], default=[])
    options = parser.parse_args()
    if not options.base_url and not options.serve:
        parser.error("--base-url or --serve")
    found = {}
    if options.base_url:
        server = Server(
            options.base_url, options.base_url, options.username, options.password, options.prefix, options.seen
        )
        found[server.name] = race(server, options)
    for name in options.serve:
        with served(name) as server:
            found[server.name] = race(server, options)
    print(json.dumps(found, indent=2))
    first = next(iter(found.values()))
    return 0 if all(result.get("right", True) for result in first.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
