"""A real server process of our own, and a client that speaks to it as an app would: REST and a strict WebSocket."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.servers import free_port

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "alviar-demo-7"
WAIT_SECONDS = 10.0

# What a test is not about; a test that is gives its own.
UNLIMITED = {
    f"RATE_{name}": "0" for name in ("LOGIN", "REGISTER", "REFRESH_SESSION", "REFRESH_ADDRESS", "CHAT", "MAIL_ACCOUNT")
} | {"CHAT_MESSAGES_PER_10S": "0", "CHAT_FRAMES_PER_MINUTE": "0", "ARGON2_MEMORY_KIB": "64", "ARGON2_TIME_COST": "1"}


@dataclass
class Server:
    """`log`: what it printed, all of it."""

    base: str
    process: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)

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
            with urllib.request.urlopen(request, timeout=20) as answer:
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

    def stop(self, *, within_s: float = 20) -> int:
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
    """Start a server on its own database and yield it once it answers. `kind`: uvicorn or daphne."""
    with tempfile.TemporaryDirectory(prefix="alviar-live-") as folder:
        environment = environment_of(Path(folder), database_url=database_url, redis_url=redis_url, **settings)
        started = start(kind, environment, Path(folder) / "log")
        try:
            yield started
        finally:
            end(started.process)


def environment_of(folder: Path, *, database_url: str = "", redis_url: str = "", **settings: str) -> dict[str, str]:
    """Return the environment of a server whose files stand below `folder`."""
    port = free_port()
    return {
        **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        **UNLIMITED,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATABASE_URL": database_url or f"sqlite:///{folder}/db.sqlite3",
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a key for tests alone, and long enough for them: 0123456789",
        "MEDIA_ROOT": str(folder / "media"),
        "MAIL_DIR": str(folder / "mail"),
        "STATIC_ROOT": str(folder / "static"),
        **settings,
    }


def start(kind: str, environment: dict[str, str], log: Path) -> Server:
    """Start the process and wait until it answers."""
    if kind == "uvicorn":
        command = [sys.executable, "-m", "config.server", "run"]
    else:
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True, capture_output=True
        )
        port = environment["PORT"]
        command = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", port, "config.asgi:application"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    started = Server(f"http://127.0.0.1:{environment['PORT']}", process, log, environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if started.call("GET", "/healthz")[0] == 200:
                return started
        except OSError:
            time.sleep(0.05)
    end(process)
    raise AssertionError(f"{kind} did not start:\n{log.read_text()[-4000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
