"""A real server process of our own, and a client that speaks to it as an app would: REST and a strict WebSocket.

This is the one place that starts servers: the tests, the contract tests, `chaos`, `abuse` and `benchmarks` use it from
Python; `python -m tests.live FOLDER NAME=VALUE…` becomes such a server, for the tests of the npm package.
"""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.servers import free_port

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "alviar-demo-7"
WAIT_SECONDS = 60.0  # for what comes at once, on a machine that may be busy
START_SECONDS = 240.0  # a start takes six seconds of CPU, whatever else the machine does
KEY = "k9v2Xr7mQ4wZ8nB3cF6hJ1pL5tY0sD2gU7aE9iO4Tq6Wm3Nz8Kx1"

# What a test is not about; a test that is gives its own.
UNLIMITED = {
    f"RATE_{name}": "0" for name in ("LOGIN", "REGISTER", "REFRESH_SESSION", "REFRESH_ADDRESS", "CHAT", "MAIL_ACCOUNT")
} | {"CHAT_MESSAGES_PER_10S": "0", "CHAT_FRAMES_PER_MINUTE": "0", "ARGON2_MEMORY_KIB": "64", "ARGON2_TIME_COST": "1"}


@dataclass
class Server:
    """`log`: what it printed, all of it. `kind`: what `command_of` knows."""

    base: str
    process: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    kind: str = "uvicorn"

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    @property
    def ws(self) -> str:
        return self.base.replace("http", "ws", 1)

    def call(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> tuple[int, Any]:
        """Return status and decoded body."""
        request = urllib.request.Request(self.base + path, method=method, headers=headers)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _decoded(error.read())

    def ok(self, method: str, path: str, body: Any = None, *, token: str = "") -> Any:
        """Return the body of an answer that must be a success."""
        status, answer = self.call(method, path, body, token=token)
        assert status < 300, (method, path, status, answer)
        return answer

    def person(self, name: str = "") -> "Person":
        """Register somebody and sign them in."""
        name = name or f"p{uuid.uuid4().hex[:10]}"
        given = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, "password_confirm": PASSWORD}
        self.ok("POST", "/api/auth/register/", given)
        return self.sign_in(name)

    def sign_in(self, name: str, *, prefix: str = "/api/auth") -> "Person":
        body = self.ok("POST", f"{prefix}/login/", {"username": name, "password": PASSWORD})
        return Person(self, name, body["user"]["id"], body["access"], body["refresh"], body["session"]["id"])

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return status and body as it is."""
        request = urllib.request.Request(self.base + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are and return all that comes back until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_SECONDS) as wire:
            wire.sendall(data)
            said = b""
            with suppress(TimeoutError, ConnectionResetError):
                while piece := wire.recv(65_536):
                    said += piece
                    wire.settimeout(5)
        return said

    def said(self) -> str:
        return self.log.read_text()

    @property
    def pid_file(self) -> Path:
        return ROOT / "var" / f"serve-{self.port}.json"

    def processes(self) -> dict[str, Any]:
        """Return what `serve` writes about its processes: `parent`, `workers`, `tasks`; nothing before it does."""
        with suppress(FileNotFoundError, json.JSONDecodeError):
            found: dict[str, Any] = json.loads(self.pid_file.read_text())
            return found
        return {}

    def wait(self, path: str = "/healthz") -> "Server":
        """Return when `path` is answered with 200. Raises AssertionError, with the log, if that never happens."""
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError):
                if self.get(path)[0] == 200:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"{self.kind} did not start:\n{self.said()[-4000:]}")

    def stop(self, *, within_s: float = START_SECONDS) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw


@dataclass
class Person:
    server: Server
    name: str
    id: int
    access: str
    refresh: str
    sid: str

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        return self.server.ok(method, path, body, token=self.access)

    def direct(self, other: "Person") -> str:
        return self.ok("POST", "/api/chat/conversations/", {"kind": "direct", "user_id": other.id})["uuid"]

    def group(self, *others: "Person", **more: Any) -> str:
        body = {"kind": "group", "title": "Group", "user_ids": [other.id for other in others], **more}
        return self.ok("POST", "/api/chat/conversations/", body)["uuid"]

    def say(self, conversation: str, text: str, **more: Any) -> Any:
        body = {"content": text, "client_msg_id": str(uuid.uuid4()), **more}
        return self.ok("POST", f"/api/chat/conversations/{conversation}/messages/", body)

    async def open(self, path: str = "/ws/chat/", *, token: str | None = None, **options: Any) -> "Wire":
        """Open a socket and read its `hello`."""
        wire = await Wire.connect(self.server, self.access if token is None else token, path, **options)
        wire.hello = await wire.next("hello")
        return wire


class Wire:
    """One socket as a client sees it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.hello: dict[str, Any] = {}
        self.seen: list[dict[str, Any]] = []  # every frame, in order

    @classmethod
    async def connect(cls, server: Server, token: str, path: str = "/ws/chat/", **options: Any) -> "Wire":
        offered = options.pop("subprotocols", ["access_token", token])
        options = {"open_timeout": WAIT_SECONDS, "ping_interval": None} | options
        connection = await connect(
            server.ws + path,
            subprotocols=[Subprotocol(name) for name in offered],
            compression=None,
            max_size=None,
            **options,
        )
        assert connection.subprotocol == "access_token"
        return cls(connection)

    async def send(self, type: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": type, **fields}))

    async def next(self, *types: str, within_s: float = WAIT_SECONDS) -> dict[str, Any]:
        """Return the next frame of one of these types (of any, where none is named)."""
        async with asyncio.timeout(within_s):
            while True:
                frame = json.loads(await self.connection.recv())
                self.seen.append(frame)
                if not types or frame["type"] in types:
                    return frame

    async def events(self, count: int, *, kind: str = "", within_s: float = WAIT_SECONDS) -> list[dict[str, Any]]:
        """Return the next `count` events, however they are bundled."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = await self.next("events", within_s=within_s)
            found += [event for event in frame["events"] if not kind or event["kind"] == kind]
        return found

    async def nothing(self, *types: str, for_s: float = 0.4) -> None:
        """Pass if no frame of these types comes."""
        try:
            frame = await self.next(*types, within_s=for_s)
        except TimeoutError:
            return
        raise AssertionError(frame)

    async def closed(self, *, within_s: float = WAIT_SECONDS) -> int:
        """Return the close code, reading what still comes."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self.seen.append(json.loads(await self.connection.recv()))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    async def ping(self) -> float:
        """Return the seconds until `pong`."""
        started = time.perf_counter()
        await self.send("ping")
        await self.next("pong")
        return time.perf_counter() - started

    async def close(self) -> None:
        await self.connection.close()


@contextmanager
def server(kind: str = "uvicorn", *, database_url: str = "", redis_url: str = "", **settings: str) -> Iterator[Server]:
    """Start a server on its own database and yield it once it answers. `kind`: uvicorn, daphne or serve."""
    with tempfile.TemporaryDirectory(prefix="alviar-live-") as folder:
        environment = environment_of(Path(folder), database_url=database_url, redis_url=redis_url, **settings)
        started = start(kind, environment, Path(folder) / "log")
        try:
            yield started
        finally:
            end(started.process)


def clean_environment() -> dict[str, str]:
    """Return what every server inherits: no setting of the developer's shell, but what measures coverage."""
    wanted = {"PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name in wanted or name.startswith("COVERAGE_")}


def files_of(folder: Path) -> dict[str, str]:
    """Return the settings that keep a server's files below `folder`."""
    names = {"MEDIA_ROOT": "media", "MAIL_DIR": "mail", "STATIC_ROOT": "static"}
    return {name: str(folder / place) for name, place in names.items()}


def environment_of(folder: Path, *, database_url: str = "", redis_url: str = "", **settings: str) -> dict[str, str]:
    """Return the environment of a server whose files stand below `folder`."""
    return {
        **clean_environment(),
        **UNLIMITED,
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DATABASE_URL": database_url or migrated(folder / "db.sqlite3"),
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a key for tests alone, and long enough for them: 0123456789",
        **files_of(folder),
        **settings,
    }


def production(folder: Path, *, database_url: str, redis_url: str, **settings: str) -> dict[str, str]:
    """Return the environment of `make serve` for plain HTTP on loopback, without limits."""
    return environment_of(
        folder,
        database_url=database_url,
        redis_url=redis_url,
        **{
            "ALVIAR_MODE": "production",
            "SECRET_KEY": KEY,
            "JWT_SIGNING_KEYS": f"tests:{KEY[::-1]}",
            "ALLOWED_HOSTS": "127.0.0.1",
            "PUBLIC_URL": "http://127.0.0.1",
            "HTTPS_ONLY": "false",
            "WORKERS": "2",
        }
        | settings,
    )


# A database with all tables and no rows, which saves each server of a test run its migrations (conftest.py makes it).
template: Path | None = None


def migrated(file: Path) -> str:
    """Return the URL of the SQLite database `file`, made from the template where there is one."""
    if template is not None and not file.exists():
        with closing(sqlite3.connect(template)) as source, closing(sqlite3.connect(file)) as copy:
            source.backup(copy)
    return f"sqlite:///{file}"


def command_of(kind: str, environment: dict[str, str]) -> list[str]:
    if kind == "daphne":
        return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", environment["PORT"], "config.asgi:application"]
    return [sys.executable, "-m", "config.server", {"uvicorn": "run"}.get(kind, kind)]


def launch(
    kind: str, environment: dict[str, str], log: Path, *, inside: Sequence[str] = (), root: Path = ROOT
) -> Server:
    """Start the process and return at once. `kind`: uvicorn (`make run`), daphne, or serve (`make serve`).

    `inside` is a command that runs it elsewhere (`ip netns exec …`); `root` is the code that runs.
    """
    if kind == "daphne":
        manage(environment, "migrate", "-v0")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*inside, *command_of(kind, environment)],
            cwd=root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    host = environment.get("HOST", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")
    return Server(f"http://{host}:{environment['PORT']}", process, log, environment, kind)


def start(kind: str, environment: dict[str, str], log: Path) -> Server:
    """Start the process and wait until it answers; `serve` until all its processes are there."""
    started = launch(kind, environment, log)
    try:
        started.wait("/readyz" if kind == "serve" else "/healthz")
        if kind == "serve":
            wait_until(lambda: len(started.processes().get("workers", [])) == int(environment["WORKERS"]))
    except BaseException:
        end(started.process)
        raise
    return started


def wait_until(holds: Callable[[], Any], *, within_s: float = START_SECONDS) -> Any:
    """Return what `holds` returned once that was true. Raises AssertionError if it never is."""
    return wait_for(holds, bool, within_s=within_s)


def wait_for(read: Callable[[], T], wanted: T | Callable[[T], Any], *, within_s: float = START_SECONDS) -> T:
    """Return what `read` returned once it was `wanted`: a value, or a check of one.

    For a state that another process or task reaches a moment later. Raises AssertionError that says what was seen last.
    """
    deadline = time.monotonic() + within_s
    while not _is(seen := read(), wanted):
        assert time.monotonic() < deadline, f"not within {within_s:g} s; seen last: {seen!r}"
        time.sleep(0.02)
    return seen


def _is(seen: Any, wanted: Any) -> bool:
    return bool(wanted(seen) if callable(wanted) else seen == wanted)


def manage(environment: dict[str, str], *command: str) -> str:
    """Run `manage.py COMMAND…` and return what it printed; a failure is one."""
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(folder: str, *settings: str) -> None:
    """Become the server: what signals this process signals it, and its first line is its address."""
    environment = environment_of(Path(folder), **dict(setting.split("=", 1) for setting in settings))
    print(f"http://127.0.0.1:{environment['PORT']}", flush=True)
    os.chdir(ROOT)
    command = command_of("uvicorn", environment)
    os.execve(command[0], command, environment)


if __name__ == "__main__":
    main(*sys.argv[1:])
