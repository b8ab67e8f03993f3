"""What a newcomer does, on the topology of production: nginx with TLS, two server processes, a task worker."""

import asyncio
import email
import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests import live, stack
from tests.servers import NotAvailable

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def made() -> Iterator[stack.Stack]:
    try:
        with stack.stack(**live.UNLIMITED) as started:
            yield started
    except NotAvailable as error:
        pytest.skip(f"needs the whole stack: {error}")


def call(made: stack.Stack, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, Any, Any]:
    request = urllib.request.Request(made.url + path, method=method)
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=made.tls) as answer:
            return answer.status, json.loads(answer.read() or b"null"), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null"), error.headers


def person(made: stack.Stack, name: str) -> dict[str, Any]:
    given = {"username": name, "email": f"{name}@example.com", "password": live.PASSWORD}
    status, body, _ = call(made, "POST", "/api/auth/register/", {**given, "password_confirm": live.PASSWORD})
    assert status == 201, body
    status, body, _ = call(made, "POST", "/api/auth/login/", {"username": name, "password": live.PASSWORD})
    assert status == 200, body
    return body


def connect(made: stack.Stack, token: str) -> Any:
    offered = [websockets.Subprotocol("access_token"), websockets.Subprotocol(token)]
    return websockets.connect(
        made.url.replace("https", "wss") + "/ws/chat/", subprotocols=offered, ssl=made.tls, compression=None
    )


@pytest.mark.promise
async def test_two_people_talk_through_tls_while_everything_is_reloaded(made: stack.Stack) -> None:
    alice, bob = await asyncio.to_thread(person, made, "alice"), await asyncio.to_thread(person, made, "bob")
    path, ids = "/api/chat/conversations/", {"kind": "direct", "user_id": bob["user"]["id"]}
    status, room, _ = await asyncio.to_thread(call, made, "POST", path, ids, token=alice["access"])
    assert status == 201
    said: list[str] = []
    heard: list[str] = []
    done = asyncio.Event()

    async def listen() -> None:
        cursor = 0
        while True:
            async with connect(made, bob["access"]) as wire:
                assert wire.subprotocol == "access_token"
                hello = json.loads(await wire.recv())
                resume = {"type": "resume", "epoch": hello["epoch"], "cursors": {room["uuid"]: cursor}}
                await wire.send(json.dumps(resume))
                pause = 0.1
                try:
                    async for raw in wire:
                        frame = json.loads(raw)
                        if frame["type"] == "bye":
                            assert frame["close"] == 4410
                            pause = frame["reconnect_in_ms"] / 1000
                        for event in frame.get("events", []):
                            if event["seq"] == cursor + 1:
                                cursor = event["seq"]
                                if event["kind"] == "message.created":
                                    heard.append(event["data"]["content"])
                            elif event["seq"] > cursor:
                                ask = {"type": "sync", "conversation_uuid": room["uuid"], "after_seq": cursor}
                                await wire.send(json.dumps(ask))
                                break
                except websockets.ConnectionClosed:
                    pass
            await asyncio.sleep(pause)

    async def talk() -> None:
        while not done.is_set():
            text = f"number {len(said)}"
            path = f"/api/chat/conversations/{room['uuid']}/messages/"
            status, body, _ = await asyncio.to_thread(
                call, made, "POST", path, {"content": text}, token=alice["access"]
            )
            assert status == 201, body
            said.append(text)

    listening, talking = asyncio.create_task(listen()), asyncio.create_task(talk())
    try:
        await asyncio.to_thread(made.run, "-m", "config.server", "reload")
    finally:
        done.set()
        await talking
    with suppress(AssertionError):
        await asyncio.to_thread(live.wait_until, lambda: len(heard) >= len(said))
    listening.cancel()
    assert heard == said
    assert said


def test_plain_http_is_sent_to_tls_and_the_figures_stay_inside(made: stack.Stack) -> None:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *args: Any) -> None:
            return None

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(Stay).open(f"{made.plain_url}/api/users/me/", timeout=live.WAIT_SECONDS)
    assert (refused.value.code, refused.value.headers["Location"]) == (308, f"{made.url}/api/users/me/")
    with pytest.raises(urllib.error.HTTPError) as hidden:
        urllib.request.urlopen(f"{made.url}/metrics", timeout=live.WAIT_SECONDS, context=made.tls)
    assert hidden.value.code == 404
    port = made.environment["METRICS_PORT"]

    def servers() -> list[bytes]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=live.WAIT_SECONDS) as answer:
            return re.findall(rb'^alviar_processes\{kind="server"\} (\S+)$', answer.read(), re.M)

    live.wait_for(servers, [b"2.0"])


def test_the_proxy_tells_who_the_client_is_and_nobody_else_can(made: stack.Stack) -> None:
    body = person(made, "charlie")
    request = urllib.request.Request(made.url + "/api/users/sessions/")
    request.add_header("Authorization", f"Bearer {body['access']}")
    request.add_header("X-Forwarded-For", "203.0.113.9")
    with urllib.request.urlopen(request, timeout=live.WAIT_SECONDS, context=made.tls) as answer:
        [session] = json.loads(answer.read())["results"]
    assert session["ip_address"] == "127.0.0.1"


@pytest.mark.promise
async def test_no_token_is_in_any_log(made: stack.Stack) -> None:
    dave = await asyncio.to_thread(person, made, "dave")
    async with connect(made, dave["access"]) as wire:
        await wire.recv()
    for name in ("alviar.log", "nginx.log", "serve.log", "alviar.error.log"):
        assert "eyJ" not in made.log(name), name
    wanted = '"GET /ws/chat/ HTTP/1.1" 101'  # nginx writes the line when the socket has ended
    await asyncio.to_thread(live.wait_for, lambda: made.log("alviar.log"), lambda text: wanted in text)


def test_the_task_worker_writes_the_mails_and_the_first_administrator_comes_in(made: stack.Stack) -> None:
    said = made.run("manage.py", "first_admin", "root", "root@example.com")
    token = re.search(r"/reset-password/#token=(\S+)", said)
    assert token is not None
    new = {"new_password": "a-long-new-one-7", "new_password_confirm": "a-long-new-one-7"}
    status, body, _ = call(made, "POST", "/api/auth/password-reset/confirm/", {"token": token[1], **new})
    assert status == 200, body

    def recipients() -> list[str]:
        files = Path(made.folder, "mail").glob("*.eml")
        return [email.message_from_bytes(file.read_bytes())["To"] for file in files]

    live.wait_for(recipients, lambda found: "root@example.com" in found)


def test_doctor_finds_it_well(made: stack.Stack) -> None:
    said = made.run("manage.py", "doctor")
    for line in ("ok      TLS", "ok      public address", "ok      clock", "ok      Redis", "ok      database"):
        assert line in said


async def test_the_crash_of_a_process_costs_its_sockets_one_reconnect(made: stack.Stack) -> None:
    body = await asyncio.to_thread(person, made, "dora")
    pid_file = stack.ROOT / "var" / f"serve-{made.environment['PORT']}.json"
    async with connect(made, body["access"]) as wire:
        await wire.recv()
        for pid, patience_s in zip(json.loads(pid_file.read_text())["workers"], (5, live.START_SECONDS), strict=True):
            # Whichever of the two it sits at; the other one goes at once to the next.
            os.kill(pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    with suppress(websockets.ConnectionClosed):
                        while True:
                            await wire.recv()
                    break
        else:
            raise AssertionError("it outlived both")

    def answer() -> Any:
        try:
            return call(made, "GET", "/readyz")[0]
        except (OSError, ValueError) as error:  # nginx's own page while both are away
            return error

    await asyncio.to_thread(live.wait_for, answer, 200)
    async with connect(made, body["access"]) as wire:
        assert json.loads(await wire.recv())["type"] == "hello"
