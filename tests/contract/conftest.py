"""A real server process and small clients: what the outside sees, and nothing else."""

import email
import email.policy
import json
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests import documented, live


def _is_documented(response: httpx.Response) -> None:
    if response.is_error:
        response.read()
        content_type = response.headers.get("Content-Type", "")
        documented.check(
            response.request.method, response.url.path, response.status_code, content_type, response.content
        )


# One client for all: a new one for each call would load the certificates of the world each time.
http = httpx.Client(timeout=live.WAIT_SECONDS, event_hooks={"response": [_is_documented]})
PASSWORD = "correct horse 9 battery"


class Server(live.Server):
    """One that mails can be read of."""

    @property
    def mail_dir(self) -> Path:
        return Path(self.environment["MAIL_DIR"])

    def mails(self, to: str) -> list[Any]:
        found = []
        for path in sorted(self.mail_dir.glob("[!.]*"), key=lambda file: file.stat().st_mtime_ns):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if to.lower() in str(message["To"]).lower():
                found.append(message)
        return found

    def mailed_token(self, to: str, page: str, *, count: int = 1) -> str:
        """Wait for the count-th mail to `to` that links to `page` and return its token."""

        def tokens() -> list[str]:
            texts = [mail.get_body(("plain",)).get_content() for mail in self.mails(to)]
            return [found[1] for text in texts if (found := re.search(page + r"/#token=([0-9a-f-]{36})", text))]

        return live.wait_for(tokens, lambda found: len(found) >= count)[-1]


UNLIMITED = (
    "PASSWORD_RESET",
    "RESEND_VERIFICATION",
    "PASSWORD_RESET_CONFIRM",
    "VERIFY_EMAIL",
    "MAIL_ACCOUNT_HOURLY",
)  # and what live.UNLIMITED has


def start_server(folder: Path, kind: str = "uvicorn", **settings: str) -> Server:
    """Start a server with the product's own defaults but for the rates: all calls come from one address."""
    environment = live.environment_of(folder, **{f"RATE_{name}": "0" for name in UNLIMITED})
    del environment["CHAT_MESSAGES_PER_10S"], environment["CHAT_FRAMES_PER_MINUTE"]
    environment |= {
        "ALLOWED_ORIGINS": "https://app.example.com",
        "PUBLIC_URL": f"http://127.0.0.1:{environment['PORT']}",
        **settings,
    }
    started = live.start(kind, environment, folder / "server.log")
    return Server(started.base, started.process, started.log, environment, kind)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start_server(tmp_path_factory.mktemp("contract"))
    yield running
    assert running.stop() == 0


@dataclass
class Person:
    """A registered person with one login, and a client that carries its access token."""

    server: Server
    username: str
    email: str
    login: dict[str, Any] = field(default_factory=dict)
    password: str = PASSWORD

    @property
    def id(self) -> int:
        return int(self.login["user"]["id"])

    @property
    def access(self) -> str:
        return str(self.login["access"])

    def sign_in(self, **extra: Any) -> dict[str, Any]:
        answer = http.post(
            self.server.base + "/api/auth/login/",
            json={"username": self.username, "password": self.password, **extra},
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def call(self, method: str, path: str, body: Any = None, *, access: str | None = None, **kw: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {access or self.access}", **kw.pop("headers", {})}
        return http.request(method, self.server.base + "/api/" + path, json=body, headers=headers, **kw)

    def get(self, path: str, **kw: Any) -> httpx.Response:
        return self.call("GET", path, **kw)

    def post(self, path: str, body: Any = None, **kw: Any) -> httpx.Response:
        return self.call("POST", path, body if body is not None else {}, **kw)

    def socket(self, path: str = "/ws/chat/", access: str | None = None) -> "Socket":
        return Socket(self.server.ws + path, access or self.access)

    def direct(self, other: "Person") -> str:
        answer = self.post("chat/conversations/", {"kind": "direct", "user_id": other.id})
        assert answer.status_code in (200, 201), answer.text
        return str(answer.json()["uuid"])

    def group(self, *others: "Person", title: str = "Group", **extra: Any) -> str:
        answer = self.post(
            "chat/conversations/",
            {"kind": "group", "title": title, "user_ids": [person.id for person in others], **extra},
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["uuid"])

    def say(self, conversation: str, content: str, **extra: Any) -> dict[str, Any]:
        answer = self.post(
            f"chat/conversations/{conversation}/messages/",
            {"content": content, "client_msg_id": str(uuid.uuid4()), **extra},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()


class Socket:
    """A chat socket that reads frames as dicts."""

    def __init__(self, url: str, access: str, **kw: Any) -> None:
        kw = {"open_timeout": live.WAIT_SECONDS, "ping_interval": None} | kw
        opening = connect(url, subprotocols=["access_token", access], compression=None, **kw)  # type: ignore[list-item]
        self.raw: ClientConnection = opening.__enter__()

    def send(self, **frame: Any) -> None:
        self.raw.send(json.dumps(frame))

    def receive(self, timeout: float = live.WAIT_SECONDS) -> dict[str, Any]:
        frame = json.loads(self.raw.recv(timeout=timeout))
        assert isinstance(frame, dict)
        return frame

    def until(self, kind: str, timeout: float = live.WAIT_SECONDS, **match: Any) -> dict[str, Any]:
        """Read until a frame of this type (with these values) and return it."""
        deadline = time.monotonic() + timeout
        seen = []
        while (left := deadline - time.monotonic()) > 0:
            try:
                frame = self.receive(left)
            except TimeoutError:
                break
            seen.append(frame)
            if frame["type"] == kind and all(frame.get(key) == value for key, value in match.items()):
                return frame
        raise AssertionError(f"no {kind} {match} within {timeout} s; seen {seen}")

    def events(self, count: int, timeout: float = live.WAIT_SECONDS, kind: str | None = None) -> list[dict[str, Any]]:
        """Read until `count` events (of this kind) have come and return them."""
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            frame = self.receive(max(0.01, deadline - time.monotonic()))
            if frame["type"] == "events":
                found += [event for event in frame["events"] if kind in (None, event["kind"])]
        return found

    def closed(self, timeout: float = live.WAIT_SECONDS) -> int:
        """Read to the end and return the close code."""
        from websockets.exceptions import ConnectionClosed

        deadline = time.monotonic() + timeout
        try:
            while True:
                self.raw.recv(timeout=max(0.01, deadline - time.monotonic()))
        except ConnectionClosed as error:
            assert error.rcvd is not None
            return error.rcvd.code

    def close(self) -> None:
        self.raw.close()

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def make_person(server: Server, prefix: str = "p") -> Person:
    name = f"{prefix}{uuid.uuid4().hex[:10]}"
    answer = http.post(
        server.base + "/api/auth/register/",
        json={
            "username": name,
            "email": f"{name}@example.com",
            "password": PASSWORD,
            "password_confirm": PASSWORD,
            "language": "en",
        },
    )
    assert answer.status_code == 201, answer.text
    person = Person(server, name, f"{name}@example.com")
    person.login = person.sign_in()
    return person


@pytest.fixture
def alice(server: Server) -> Person:
    return make_person(server, "alice")


@pytest.fixture
def bob(server: Server) -> Person:
    return make_person(server, "bob")


@pytest.fixture
def charlie(server: Server) -> Person:
    return make_person(server, "charlie")


def assert_envelope(answer: httpx.Response, status: int, code: str, **expected: Any) -> dict[str, Any]:
    """Check the one error body of the product, and the headers that go with its status."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert body["code"] == code, body
    assert body["detail"] and isinstance(body["detail"], str)
    assert body["action"] in {"refresh", "login", "retry", "wait", "verify_email", "none"}
    assert body["request_id"] == answer.headers["x-request-id"]
    if status == 401:
        assert answer.headers["www-authenticate"] == 'Bearer realm="api"'
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) == body["retry_after"] >= 1
    for key, value in expected.items():
        assert body.get(key) == value, (key, body)
    return body
