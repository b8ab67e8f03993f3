"""The three scenarios of the JWT and WebSocket guide, walked on live servers: uvicorn and daphne, on SQLite with the
in-memory layer and on PostgreSQL with Valkey."""

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests import live
from tests.contract.conftest import Person, Server, Socket, assert_envelope, http, make_person, start_server

NODE_MODULES = live.ROOT / "client" / "node_modules"
MESSAGES = 60

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["SQLite and memory", "PostgreSQL and Valkey"])
def server(request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    extra = {"CHAT_MESSAGES_PER_10S": "0"}
    if request.param == "PostgreSQL and Valkey":
        extra |= {
            "DATABASE_URL": request.getfixturevalue("new_database")(),
            "REDIS_URL": request.getfixturevalue("valkey_url"),
        }
    running = start_server(tmp_path_factory.mktemp(kind), kind, **extra)
    try:
        yield running
        running.stop()
    finally:
        live.end(running.process)


def sign_in(person: Person, prefix: str, device: str) -> dict[str, Any]:
    answer = http.post(
        f"{person.server.base}{prefix}login/",
        json={"username": person.username, "password": person.password, "device_fingerprint": device},
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def keep_sending(sender: Socket, conversation: str, count: int) -> threading.Thread:
    def send() -> None:
        for number in range(count):
            sender.send(
                type="message",
                conversation_uuid=conversation,
                content=f"message {number}",
                client_msg_id=str(uuid.uuid4()),
            )
            time.sleep(0.02)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.promise
def test_two_people_sign_in_chat_change_tokens_and_are_signed_out(server: Server) -> None:
    alice, bob = make_person(server, "alice"), make_person(server, "bob")

    # Both sign in, each under one of the two prefixes, and the other prefix knows them too.
    alice.login = sign_in(alice, "/api/auth/", "alice-phone")
    bob.login = sign_in(bob, "/api/users/auth/", "bob-phone")
    for person, prefix in ((alice, "/api/users/auth/"), (bob, "/api/auth/")):
        verified = http.post(f"{server.base}{prefix}token/verify/", json={"token": person.access})
        assert (verified.status_code, verified.json()) == (200, {})

    # Scenario 1: a conversation is opened.
    alice_socket, bob_socket = alice.socket(), bob.socket()
    for person, socket in ((alice, alice_socket), (bob, bob_socket)):
        assert socket.raw.subprotocol == "access_token"
        assert socket.raw.response is not None
        assert person.access not in str(socket.raw.response.headers)
        hello = socket.until("hello")
        assert (hello["v"], hello["user_id"]) == (1, person.id)
    epoch = hello["epoch"]
    conversation = alice.direct(bob)
    alice_socket.send(type="mark_as_seen", conversation_uuid=conversation)
    alice_socket.send(
        type="message",
        ref="first",
        conversation_uuid=conversation,
        content="Hello!",
        client_msg_id=(first_id := str(uuid.uuid4())),
    )
    ack = alice_socket.until("ack", ref="first")
    assert (ack["client_msg_id"], ack["conversation_uuid"], ack["duplicate"]) == (first_id, conversation, False)
    (event,) = bob_socket.events(1, kind="message.created")
    assert (event["seq"], event["actor_id"], event["data"]["content"]) == (ack["seq"], alice.id, "Hello!")
    history = bob.get(f"chat/conversations/{conversation}/messages/").json()
    assert [(row["uuid"], row["content"]) for row in history["results"]] == [(ack["message_uuid"], "Hello!")]
    assert history["has_more"] is False

    # Scenario 2: the token changes under an open conversation, and nobody notices.
    cursor = event["seq"]
    sending = keep_sending(alice_socket, conversation, MESSAGES)
    seen = [row["seq"] for row in bob_socket.events(5)]
    refreshed = http.post(f"{server.base}/api/auth/token/refresh/", json={"refresh": bob.login["refresh"]})
    assert refreshed.status_code == 200
    old_access, bob.login = bob.access, {**bob.login, **refreshed.json()}
    assert bob.access != old_access
    second = bob.socket()
    second.until("hello")
    second.send(type="resume", epoch=epoch, cursors={conversation: cursor})
    applied, resumed = [cursor], False
    while not resumed:
        frame = second.receive()
        # The client's rule: apply what follows, ignore what is old. What was live between `hello` and `resume` may come
        # ahead of the hole before it, and comes again in its place.
        for row in frame.get("events", []):
            if row["seq"] == applied[-1] + 1:
                applied.append(row["seq"])
        resumed = frame["type"] == "resumed"
        assert frame["type"] in {"hello", "events", "receipt", "presence", "resumed"}, frame
    bob_socket.close()
    sending.join()
    last = cursor + MESSAGES
    live: list[int] = []
    while [*applied, *live][-1] < last:
        live += [row["seq"] for row in second.events(1)]
    assert seen == list(range(cursor + 1, cursor + 1 + len(seen)))
    assert [*applied, *live] == list(range(cursor, last + 1))  # after `resumed` without a hole or a repeat
    stored = alice.get(f"chat/conversations/{conversation}/messages/?after_seq={cursor}&limit=100").json()["results"]
    assert [row["content"] for row in stored] == [f"message {number}" for number in range(MESSAGES)]

    # Scenario 3's counterpart: his other device signs this one out, and everything of it ends at once.
    other = sign_in(bob, "/api/auth/", "bob-tablet")
    answer = bob.post(f"users/sessions/{bob.login['session']['id']}/revoke/", access=other["access"])
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert second.closed() == 4503
    assert_envelope(bob.get("users/me/"), 401, "token_not_valid", reason="session_revoked", action="login")
    refused = http.post(f"{server.base}/api/users/auth/token/refresh/", json={"refresh": bob.login["refresh"]})
    assert_envelope(refused, 401, "token_not_valid", reason="session_revoked", action="login")
    again = bob.socket()
    assert again.until("error")["code"] == "token_not_valid"
    assert again.closed() == 4503
    assert bob.get("users/me/", access=other["access"]).status_code == 200
    alice_socket.close()


def test_token_is_checked_while_the_conversation_is_open(server: Server) -> None:
    """Scenario 3: the new token goes onto the open socket, which lives on."""
    alice, bob = make_person(server, "alice"), make_person(server, "bob")
    conversation = alice.direct(bob)
    with bob.socket() as socket:
        before = socket.until("hello")["token_expires_at"]
        time.sleep(1.1)  # `exp` counts whole seconds
        refreshed = http.post(f"{server.base}/api/auth/token/refresh/", json={"refresh": bob.login["refresh"]}).json()
        socket.send(type="authenticate", token=refreshed["access"])
        assert socket.until("authenticated")["token_expires_at"] > before
        alice.say(conversation, "still there?")
        (event,) = socket.events(1, kind="message.created")
        assert event["data"]["content"] == "still there?"


STRICT = """
const WebSocket = require("ws");
const [url, token] = process.argv.slice(1);
const socket = new WebSocket(url, ["access_token", token], { perMessageDeflate: false });
socket.on("upgrade", ({ rawHeaders }) => {
  if (JSON.stringify(rawHeaders).includes(token)) throw new Error("the JWT is in a response header");
});
socket.on("error", (error) => { console.log(JSON.stringify({ error: error.message })); process.exit(1); });
socket.on("message", (data) => {
  console.log(JSON.stringify({ protocol: socket.protocol, type: JSON.parse(data).type }));
  socket.close();
});
"""
CHROMIUM = """
const { chromium } = require("playwright-core");
const [base, url, token] = process.argv.slice(1);
(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
  });
  const page = await browser.newPage();
  await page.goto(base + "/healthz");
  const seen = await page.evaluate(([url, token]) => new Promise((done) => {
    const socket = new WebSocket(url, ["access_token", token]);
    socket.onmessage = (event) => done({ protocol: socket.protocol, type: JSON.parse(event.data).type });
    socket.onclose = (event) => done({ closed: event.code });
  }), [url, token]);
  console.log(JSON.stringify(seen));
  await browser.close();
})();
"""


def node(script: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        ["node", "-e", script, *arguments],
        cwd=NODE_MODULES.parent,
        env={**os.environ, "CHROMIUM": shutil.which("chromium") or ""},
        capture_output=True,
        text=True,
        timeout=live.START_SECONDS,
        check=False,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("server", ["SQLite and memory"], indirect=True)
class TestStrictClients:
    """Python's clients take a handshake that names no subprotocol; these end it."""

    def test_node_accepts_the_handshake(self, server: Server) -> None:
        if shutil.which("node") is None or not (NODE_MODULES / "ws").exists():
            pytest.skip("needs Node and its ws: npm ci in client/")
        person = make_person(server)
        assert node(STRICT, server.ws + "/ws/chat/", person.access) == {"protocol": "access_token", "type": "hello"}

    def test_chromium_accepts_the_handshake(self, server: Server) -> None:
        if shutil.which("chromium") is None or not (NODE_MODULES / "playwright-core").exists():
            pytest.skip("needs Chromium and playwright-core: npm ci in client/")
        person = make_person(server)
        seen = node(CHROMIUM, server.base, server.ws + "/ws/chat/", person.access)
        assert seen == {"protocol": "access_token", "type": "hello"}
