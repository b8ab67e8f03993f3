"""Do to a running server what strangers and bad networks do, and print what it costs and how soon it recovers.

    make abuse          all of it, some five minutes
    make abuse ONLY=handshakes,pings

Real processes: `config.server serve` with two server processes on a private PostgreSQL and Valkey. Every scenario
prints figures (memory and descriptors of both processes, seconds) and says `FAIL` where one is out of its limit; the
exit code is 1 then. The slow link needs root: it is a network namespace with an MTU of 1500 and small buffers.
"""

import argparse
import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests import live
from tests.servers import PostgreSQL, Valkey

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, OUTSIDE, INSIDE = "alviar-abuse", "10.213.7.1", "10.213.7.2"
UPGRADE = {
    "Host": "127.0.0.1",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


class Run:
    """The servers, and the figures so far."""

    def __init__(self, server: live.Server, postgresql: PostgreSQL, valkey: Valkey) -> None:
        self.server, self.postgresql, self.valkey = server, postgresql, valkey
        self.port = int(server.environment["PORT"])
        self.failed = 0

    @property
    def pids(self) -> list[int]:
        workers: list[int] = self.server.processes()["workers"]
        return workers

    def memory_mib(self) -> float:
        """Return what both processes have of their own, without what they share."""
        pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1024**2

    def descriptors(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids)

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def figure(self, name: str, value: float, unit: str, *, most: float) -> None:
        bad = value > most
        self.failed += bad
        self.say(f"{name:<46} {value:>9.1f} {unit:<5} (at most {most:g}){'  FAIL' if bad else ''}")

    def claim(self, name: str, is_true: bool, found: Any = "") -> None:
        self.failed += not is_true
        self.say(f"{name:<46} {'yes' if is_true else 'FAIL'} {found}")

    @contextmanager
    def cost(self, *, memory_mib: float, descriptors: int = 20) -> Iterator[None]:
        """Print what is left of memory and descriptors once the block is over and the server has settled."""
        before, held = self.memory_mib(), self.descriptors()
        yield
        self.wait(lambda: self.descriptors() <= held + descriptors, 40)
        self.figure("memory kept", self.memory_mib() - before, "MiB", most=memory_mib)
        self.figure("descriptors kept", self.descriptors() - held, "", most=descriptors)

    def wait(self, done: Callable[[], Any], seconds: float) -> float:
        """Return how long it took until `done` was true, at most `seconds`."""
        started = time.monotonic()
        while not done() and time.monotonic() - started < seconds:
            time.sleep(0.05)
        return time.monotonic() - started

    # --- Plain connections ---

    def dial(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def knock(self, path: str = "/ws/chat/", headers: dict[str, str] | None = None) -> int:
        """Return the status of one handshake over a connection of its own, 0 for none."""
        lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in (UPGRADE | (headers or {})).items()), "", ""]
        with self.dial() as connection:
            connection.sendall("\r\n".join(lines).encode())
            try:
                answer = connection.recv(64)
            except OSError:
                return 0
        return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0

    def ask(self, person: live.Person) -> tuple[int, float]:
        """Return status and seconds of one request."""
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/api/users/me/", headers={"Authorization": f"Bearer {person.access}"})
        status = connection.getresponse().status
        connection.close()
        return status, time.monotonic() - started


# --- The scenarios ----------------------------------------------------------------------------------------------------


def headers(run: Run) -> None:
    """Large headers: up to 64 KiB read, beyond 431, never without an answer."""
    with run.cost(memory_mib=30):
        for name, fields, status in (
            ("300 headers", {f"X-{number}": "1" for number in range(300)}, 403),
            ("a cookie of 8.3 kB", {"Cookie": "c" * 8_300}, 403),
            ("a cookie of 60 kB", {"Cookie": "c" * 60_000}, 403),
            ("a cookie of 70 kB", {"Cookie": "c" * 70_000}, 431),
            ("another version", {"Sec-WebSocket-Version": "8"}, 426),
        ):
            found = {run.knock(headers=fields) for _ in range(50)}
            run.claim(f"{name}: {status}", found == {status}, found)


def silent(run: Run) -> None:
    """Connections that say nothing, and requests that do not end."""
    with run.cost(memory_mib=30):
        held, started = run.descriptors(), time.monotonic()
        quiet = [run.dial() for _ in range(500)]
        unfinished = [run.dial() for _ in range(300)]
        for number, connection in enumerate(unfinished):
            if number % 2:
                connection.sendall(b"POST /nowhere/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900000\r\n\r\nx")
            else:
                connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        run.wait(lambda: run.descriptors() >= held + 790, 5)
        run.wait(lambda: run.descriptors() <= held + 310, 40)
        run.figure("500 silent connections closed after", time.monotonic() - started, "s", most=13)
        run.wait(lambda: run.descriptors() <= held + 10, 60)
        run.figure("300 unfinished requests closed after", time.monotonic() - started, "s", most=34)
        for connection in quiet + unfinished:
            connection.close()


def pings(run: Run, count: int = 800_000) -> None:
    """Protocol pings whose answers nobody reads: with a good token, and with a bad one."""
    person = run.server.person()
    flood = (b"\x89\xfd" + bytes(4) + b"p" * 125) * 1_000
    for name, token in (("a good token", person.access), ("a bad token", "nonsense")):
        with run.cost(memory_mib=40), run.dial() as connection:
            before, peak, sent = run.memory_mib(), 0.0, 0
            fields = UPGRADE | {"Sec-WebSocket-Protocol": f"access_token, {token}"}
            lines = ["GET /ws/chat/ HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
            connection.sendall("\r\n".join(lines).encode())
            connection.settimeout(3)
            with suppress(OSError):
                for _ in range(count // 1_000):
                    connection.sendall(flood)
                    sent += 1_000
                    peak = max(peak, run.memory_mib() - before)
            run.say(f"{name}: {sent:,} of {count:,} pings were taken")
            run.figure("memory at most", peak, "MiB", most=30)


def handshakes(run: Run, count: int = 20_000) -> None:
    """Refused handshakes: what each leaves behind."""

    def one(number: int) -> int:
        if number % 2:
            return run.knock("/ws/nowhere/", {"Sec-WebSocket-Protocol": "access_token, x"})
        return run.knock(headers={"Sec-WebSocket-Protocol": "access_token, nonsense"})

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(2_000)))  # what is made once
        with run.cost(memory_mib=count * 0.5 / 1024):
            started = time.monotonic()
            found = Counter(pool.map(one, range(count)))
            run.say(f"{count:,} in {time.monotonic() - started:.1f} s: {dict(found)}")
            run.claim("every one was answered", not found[0])


def stuck(run: Run) -> None:
    """A client that stops reading and is closed: off, as others see it, within 10 s."""

    async def main() -> None:
        alice, bob = run.server.person(), run.server.person()
        room = alice.direct(bob)
        watcher = await alice.open()
        await watcher.send("presence", user_ids=[bob.id])
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(("127.0.0.1", run.port))
        stopped = await bob.open(sock=small)
        while not (await watcher.next("presence", within_s=20))["users"][0]["online"]:
            pass
        stopped.connection.transport.pause_reading()
        for _ in range(200):  # until the network's buffers are full
            alice.say(room, "x" * 4_000)
        bob.ok("POST", f"/api/users/sessions/{bob.sid}/revoke/")
        started = time.monotonic()
        while (await watcher.next("presence", within_s=60))["users"][0]["online"]:
            pass
        run.figure("revoked while reading nothing: off after", time.monotonic() - started, "s", most=10)

    asyncio.run(main())


def slow_link(run: Run, conversations: int = 2_000) -> None:
    """`resume` of somebody in 2,000 conversations over a link with MTU 1500 and small buffers."""
    commands = [
        f"ip netns add {NAMESPACE}",
        f"ip link add abuse0 mtu 1500 type veth peer name abuse1 mtu 1500 netns {NAMESPACE}",
        f"ip addr add {OUTSIDE}/30 dev abuse0",
        "ip link set abuse0 up",
        f"ip -n {NAMESPACE} addr add {INSIDE}/30 dev abuse1",
        f"ip -n {NAMESPACE} link set abuse1 up",
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        run.say(f"not run: no network namespace here ({error})")
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)
        return
    try:
        alice, bob = run.server.person(), run.server.person()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: alice.group(bob, title=f"Room {number}"), range(conversations)))
        for attempt in range(3):
            started = time.monotonic()
            url = f"ws://{OUTSIDE}:{run.port}/ws/chat/"
            client = [sys.executable, "-m", "tests.abuse.slow_client", url, bob.access]
            done = subprocess.run(
                ["ip", "netns", "exec", NAMESPACE, *client],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=180,
                check=False,
            )
            told = json.loads(done.stdout or "{}")
            run.claim(f"resumed ({attempt + 1})", told.get("ended") == "resumed", told or done.stderr[-300:])
            run.figure("after", time.monotonic() - started, "s", most=60)
    finally:
        subprocess.run(["ip", "link", "del", "abuse0"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", NAMESPACE], check=False, capture_output=True)


def postgresql(run: Run, away_s: float = 15) -> None:
    """PostgreSQL stopped, then hanging: what is answered meanwhile, and when it works again."""
    for how, go, back in (
        ("stopped", run.postgresql.halt, run.postgresql.go_on),
        ("hanging", run.postgresql.hang, run.postgresql.resume),
    ):
        person = run.server.person()
        before = len(run.server.log.read_text())
        health: list[float] = []
        go()
        until = time.monotonic() + away_s
        with ThreadPoolExecutor(60) as pool:
            asking = [pool.submit(_ask_until, run, person, until) for _ in range(50)]
            while time.monotonic() < until:
                started = time.monotonic()
                run.failed += run.server.call("GET", "/healthz")[0] != 200
                health.append(time.monotonic() - started)
                time.sleep(0.2)
            answers = [answer for one in asking for answer in one.result()]
        back()
        started = time.monotonic()
        while run.ask(person)[0] != 200 and time.monotonic() < started + 60:
            time.sleep(0.05)
        seconds = time.monotonic() - started
        statuses = Counter(status for status, _seconds in answers)
        run.say(f"{how} for {away_s:g} s, 50 clients: {dict(statuses)}")
        run.figure("longest answer", max(seconds for _status, seconds in answers), "s", most=6.0)
        run.figure("longest /healthz", max(health) * 1000, "ms", most=1_000)
        run.figure("first good answer after it is back", seconds, "s", most=3)
        run.claim("nothing but 200 and 503", set(statuses) <= {200, 503})
        _log(run, before, ("database.away", "database.back"))


def _ask_until(run: Run, person: live.Person, until: float) -> list[tuple[int, float]]:
    answers = []
    while time.monotonic() < until:
        answers.append(run.ask(person))
        time.sleep(0.1)
    return answers


def redis(run: Run, away_s: float = 10) -> None:
    """Valkey stopped, then hanging: a revocation at one process closes the socket at another within 3 s."""

    async def revoked() -> float:
        person = run.server.person()
        wires = []
        for _ in range(3):  # some at each process
            other = run.server.sign_in(person.name)
            wires.append((other, await other.open()))
        keeper = run.server.sign_in(person.name)
        longest = 0.0
        for other, wire in wires:
            keeper.ok("POST", f"/api/users/sessions/{other.sid}/revoke/")
            started = time.monotonic()
            assert await wire.closed(within_s=30) == 4503
            longest = max(longest, time.monotonic() - started)
        return longest

    for how, go, back in (
        ("stopped", run.valkey.kill, run.valkey.start_empty),
        ("hanging", run.valkey.hang, run.valkey.resume),
    ):
        before = len(run.server.log.read_text())
        go()
        run.say(f"{how} for some {away_s:g} s")
        run.figure("revocation just after", asyncio.run(revoked()), "s", most=3)
        time.sleep(away_s)
        run.figure("revocation later", asyncio.run(revoked()), "s", most=3)
        run.claim("ready all the same", run.server.call("GET", "/readyz")[0] == 200)
        back()
        deadline = time.monotonic() + 30
        while run.server.log.read_text()[before:].count("layer.mended") < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        _log(run, before, ("layer.broken", "layer.mended"))


def _log(run: Run, before: int, once: tuple[str, ...]) -> None:
    """Every process says once that a store has gone, and once that it is back; nothing leaves a traceback."""
    time.sleep(1)
    log = run.server.log.read_text()[before:]
    for event in once:
        run.figure(f"lines of {event}", log.count(f'"{event}"'), "", most=2)
    run.claim("no traceback in the log", "Traceback" not in log)


SCENARIOS: dict[str, Callable[[Run], None]] = {
    one.__name__: one for one in (headers, silent, pings, handshakes, stuck, slow_link, postgresql, redis)
}


@contextmanager
def serving(folder: Path) -> Iterator[Run]:
    """Start everything."""
    database, valkey = PostgreSQL(fsync=False), Valkey()
    server: live.Server | None = None
    try:
        database.start()
        valkey.start()
        environment = live.production(
            folder,
            database_url=database.url,
            redis_url=valkey.url,
            HOST="0.0.0.0",
            ALLOWED_HOSTS=f"127.0.0.1,{OUTSIDE}",
            RATE_HANDSHAKE="0",
            LOG_LEVEL="INFO",
        )
        server = live.start("serve", environment, folder / "log")
        yield Run(server, database, valkey)
    finally:
        if server is not None:
            live.end(server.process)
        with suppress(Exception):
            valkey.resume()
        valkey.stop()
        with suppress(Exception):
            database.resume()
        database.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="scenarios, separated by commas: " + ", ".join(SCENARIOS))
    wanted = [name for name in parser.parse_args().only.split(",") if name] or list(SCENARIOS)
    with tempfile.TemporaryDirectory(prefix="alviar-abuse-") as folder, serving(Path(folder)) as run:
        print(f"two processes: {run.memory_mib():.0f} MiB, {run.descriptors()} descriptors", flush=True)
        for name in wanted:
            print(f"{name}: {(SCENARIOS[name].__doc__ or '').splitlines()[0]}", flush=True)
            SCENARIOS[name](run)
        failed = run.failed
    print("FAILED" if failed else "all within their limits", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
