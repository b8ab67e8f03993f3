"""The socket over a real wire, on both servers: handshakes, secrets, slow clients, stalls, limits, and the end."""

import asyncio
import shutil
import socket as sockets
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests import live

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def server(request: pytest.FixtureRequest, uvicorn: live.Server) -> Iterator[live.Server]:
    if request.param == "uvicorn":
        yield uvicorn
        return
    with live.server(request.param, ALLOWED_ORIGINS="https://app.example.com") as started:
        yield started


@pytest.fixture(scope="module")
def uvicorn(shared: live.Server) -> live.Server:
    return shared


# --- The handshake ----------------------------------------------------------------------------------------------------


async def refused(server: live.Server, path: str, **options: object) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(server.ws + path, compression=None, **options)
    return refusal.value.response.status_code


async def test_what_is_no_socket_of_ours_is_refused_before_the_handshake(server: live.Server) -> None:
    alice = server.person()
    offered = ["access_token", alice.access]
    assert await refused(server, "/ws/chat/") == 403
    assert await refused(server, "/ws/chat/", subprotocols=["chat"]) == 403
    assert await refused(server, f"/ws/chat/?token={alice.access}") == 403
    assert await refused(server, f"/ws/chat/?access_token={alice.access}", subprotocols=offered) == 403
    assert await refused(server, "/ws/chat/", subprotocols=offered, origin="https://evil.example") == 403
    assert await refused(server, "/ws/chat/", subprotocols=offered, origin="null") == 403
    for path in ("/ws/", "/ws/nothing/", "/ws/chat/nothing/", "/ws/chat"):
        assert await refused(server, path, subprotocols=offered) in (403, 404)


async def test_our_own_pages_allowed_pages_and_native_apps_may(server: live.Server) -> None:
    alice = server.person()
    further = {"subprotocols": ["access_token", alice.access, "third"]}
    for options in ({}, {"origin": server.base}, {"origin": "https://app.example.com"}, further):
        wire = await alice.open(**options)
        assert wire.hello["user_id"] == alice.id
        await wire.close()


@pytest.mark.promise
async def test_every_bad_token_is_told_and_closed_by_its_code(server: live.Server) -> None:
    alice = server.person()
    other = server.sign_in(alice.name)
    alice.ok("POST", f"/api/users/sessions/{other.sid}/revoke/")
    cases = [
        (["access_token"], 4401),
        (["access_token", "nonsense"], 4401),
        (["access_token", alice.refresh], 4401),
        (["access_token", alice.access[:-4] + "AAAA"], 4401),
        (["access_token", other.access], 4503),
    ]
    for offered, code in cases:
        wire = await live.Wire.connect(server, "", subprotocols=offered)
        error = await wire.next("error")
        assert (error["code"], error["retryable"]) == ("token_not_valid", False)
        assert await wire.closed() == code


async def test_a_cookie_authenticates_nobody(server: live.Server) -> None:
    assert await refused(server, "/ws/chat/", additional_headers={"Cookie": "alviar_admin=x"}) == 403


@pytest.mark.promise
async def test_the_token_is_in_no_header_of_the_answer_and_in_no_log(server: live.Server) -> None:
    alice = server.person()
    wire = await alice.open()
    assert alice.access not in str(wire.connection.response.headers)
    assert wire.connection.response.headers["Sec-WebSocket-Protocol"] == "access_token"
    await wire.send("message", content=alice.access)
    await wire.next("error")
    await wire.close()
    await refused(server, f"/ws/chat/?token={alice.access}")
    log = server.log.read_text(errors="replace")
    assert alice.access not in log
    assert alice.access.split(".")[1] not in log
    assert alice.refresh not in log


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node")
def test_a_strict_client_takes_the_subprotocol(server: live.Server) -> None:
    modules = Path(__file__).resolve().parent.parent / "client" / "node_modules"
    if not (modules / "ws").exists():
        pytest.skip("needs the client's node_modules (make client-test)")
    alice = server.person()
    script = """
        const WebSocket = require('ws');
        const [, url, token] = process.argv;
        const ws = new WebSocket(url, ['access_token', token]);
        ws.on('message', data => { console.log(ws.protocol, JSON.parse(data).type); ws.close(1000); });
        ws.on('error', error => { console.log('error', error.message); process.exit(1); });
        ws.on('close', code => { console.log(code); });
    """
    done = subprocess.run(
        ["node", "-e", script, server.ws + "/ws/chat/", alice.access],
        cwd=modules.parent,
        capture_output=True,
        text=True,
        timeout=live.START_SECONDS,
    )
    assert done.stdout.split() == ["access_token", "hello", "1000"], done.stdout + done.stderr


# --- Frames -----------------------------------------------------------------------------------------------------------


async def test_bad_frames_are_told_and_five_in_a_minute_end_the_socket(server: live.Server) -> None:
    alice = server.person()
    wire = await alice.open()
    await wire.send("session.revoked", sids=[alice.sid])
    assert (await wire.next("error"))["code"] == "unknown_type"
    for raw in ("{", "[]", "null", "[" * 5_000, '{"type":"ping","x":NaN}'):
        await wire.connection.send(raw)
        assert (await wire.next("error"))["code"] == "bad_frame"
    assert await wire.closed() == 4507
    wire = await alice.open()
    await wire.connection.send(b"binary")
    assert await wire.closed() == 4507


async def test_values_of_the_wrong_type_are_told_and_never_end_the_socket(server: live.Server) -> None:
    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    wire = await alice.open()
    for fields in (
        {"type": "message", "conversation_uuid": room, "content": 7},
        {"type": "message", "conversation_uuid": "nonsense", "content": "x"},
        {"type": "message", "conversation_uuid": room, "content": "x", "client_msg_id": "no-uuid"},
        {"type": "message", "conversation_uuid": room, "content": ""},
        {"type": "message", "conversation_uuid": room, "content": "a\x00b"},
        {"type": "message", "conversation_uuid": room, "content": "x", "reply_to": str(uuid.uuid4())},
        {"type": "mark_as_seen", "conversation_uuid": room, "up_to_seq": -1},
        {"type": "mark_as_seen", "conversation_uuid": room, "up_to_seq": 2**70},
        {"type": "resume", "epoch": "x", "cursors": {"nonsense": 1}},
        {"type": "resume", "epoch": "x", "cursors": []},
        {"type": "presence", "user_ids": list(range(101))},
        {"type": "react", "message_uuid": str(uuid.uuid4()), "emoji": "nonsense"},
        {"type": "authenticate"},
    ):
        await wire.send(**fields)
        assert (await wire.next("error"))["code"] == "validation_error", fields
    for type_, fields in (
        ("mark_as_seen", {"conversation_uuid": str(uuid.uuid4())}),
        ("edit", {"message_uuid": str(uuid.uuid4()), "content": "x"}),
        ("sync", {"conversation_uuid": str(uuid.uuid4()), "after_seq": 0}),
        ("typing", {"conversation_uuid": str(uuid.uuid4()), "active": True}),
    ):
        await wire.send(type_, ref="r", **fields)
        error = await wire.next("error")
        assert (error["code"], error["ref"]) == ("not_found", "r")
    await wire.send("message", conversation_uuid=room, content="x" * 4_001, client_msg_id=(name := str(uuid.uuid4())))
    error = await wire.next("error")
    assert (error["code"], error["client_msg_id"]) == ("too_long", name)
    await wire.ping()
    await wire.close()


async def test_errors_speak_the_clients_language(server: live.Server) -> None:
    alice = server.person()
    wire = await alice.open(additional_headers={"Accept-Language": "fr-CA,fr;q=0.9"})
    await wire.send("edit", message_uuid=str(uuid.uuid4()), content="x")
    assert (await wire.next("error"))["detail"] != "Not found."
    await wire.close()


@pytest.mark.promise
async def test_edits_reactions_and_removals_reach_the_others_in_order(server: live.Server) -> None:
    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    here, there = await alice.open(f"/ws/chat/{room}/"), await bob.open()
    await here.send("message", content="first", client_msg_id=str(uuid.uuid4()))
    name = (await here.next("ack"))["message_uuid"]
    await here.send("edit", message_uuid=name, content="second", ref=1)
    await here.send("react", message_uuid=name, emoji="👍", ref=2)
    await here.send("react", message_uuid=name, emoji="👍", remove=True, ref=3)
    await here.send("delete", message_uuid=name, ref=4)
    acks = [await here.next("ack") for _ in range(4)]
    assert [ack["ref"] for ack in acks] == [1, 2, 3, 4]
    found = await there.events(5)
    assert [event["kind"] for event in found] == [
        "message.created", "message.edited", "reaction.added", "reaction.removed", "message.deleted",
    ]  # fmt: skip
    assert [event["seq"] for event in found] == list(range(found[0]["seq"], found[0]["seq"] + 5))
    assert [ack["seq"] for ack in acks] == [event["seq"] for event in found[1:]]
    assert found[1]["data"]["content"] == "second"
    assert found[2]["data"] == {"message_uuid": name, "emoji": "👍", "user_id": alice.id}
    assert found[4]["data"]["content"] == ""
    for wire in (here, there):
        await wire.close()


# --- Stalls and slow clients (uvicorn: daphne has no back-pressure) ---------------------------------------------------


async def test_a_locked_database_holds_up_no_ping(uvicorn: live.Server) -> None:
    alice, bob = uvicorn.person(), uvicorn.person()
    room = alice.direct(bob)
    writer, other = await alice.open(), await bob.open()
    path = uvicorn.environment["DATABASE_URL"].removeprefix("sqlite:///")
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for number in range(10):
        await writer.send("message", conversation_uuid=room, content=str(number))
        await writer.send("mark_as_seen", conversation_uuid=room, up_to_seq=number)
    for wire in (other, writer):
        for _ in range(20):
            await wire.ping()
    assert "ack" not in {frame["type"] for frame in writer.seen}  # all the pongs came while the messages waited
    lock.execute("ROLLBACK")
    lock.close()
    assert len([await writer.next("ack") for _ in range(10)]) == 10
    assert len(await other.events(10)) == 10
    for wire in (writer, other):
        await wire.close()


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


async def stuck(server: live.Server, person: live.Person, *, buffer_bytes: int = 4_096) -> "sockets.socket":
    """Open a socket with a small receive buffer and read nothing but its handshake."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, buffer_bytes)
    raw.connect(("127.0.0.1", int(server.environment["PORT"])))
    request = (
        "GET /ws/chat/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: access_token, {person.access}\r\n\r\n"
    )
    raw.sendall(request.encode())
    assert b"101" in await asyncio.to_thread(raw.recv, 64)
    return raw


async def flood(talker: live.Wire, room: str, count: int) -> None:
    text = "é" * 4_000
    for _ in range(count):
        await talker.send("message", conversation_uuid=room, content=text)
    done = 0
    while done < count:
        done += (await talker.next("ack", "events", within_s=120))["type"] == "ack"


async def test_a_client_that_stops_reading_is_cut_off_and_costs_nobody_else(uvicorn: live.Server) -> None:
    alice, bob, charlie = uvicorn.person(), uvicorn.person(), uvicorn.person()
    warm, room = alice.group(charlie), alice.group(bob, charlie)
    talker, reader = await alice.open(), await charlie.open()
    reading = asyncio.create_task(reader.events(2_400, within_s=120))
    await flood(talker, warm, 1_200)  # what as many messages cost without anybody stuck
    raw = await stuck(uvicorn, bob)
    before, said = resident_kib(uvicorn.process.pid), len(uvicorn.said())
    await flood(talker, room, 1_200)
    assert len(await reading) >= 2_400
    await reader.ping()
    assert resident_kib(uvicorn.process.pid) - before < 20 * 1024
    await asyncio.to_thread(live.wait_until, lambda: "socket.aborted" in uvicorn.said()[said:])
    assert "socket.slow" in uvicorn.said()[said:]
    raw.close()
    for wire in (talker, reader):
        await wire.close()


async def test_a_slow_client_that_reads_again_is_told_4413(uvicorn: live.Server) -> None:
    alice, bob = uvicorn.person(), uvicorn.person()
    room = alice.direct(bob)
    raw = await stuck(uvicorn, bob, buffer_bytes=262_144)
    talker = await alice.open()
    log_before = uvicorn.log.read_bytes().count(b"socket.slow")
    while uvicorn.log.read_bytes().count(b"socket.slow") == log_before:
        await flood(talker, room, 100)
    raw.settimeout(live.WAIT_SECONDS)

    def read_all() -> bytes:
        tail = b""
        try:
            while piece := raw.recv(65_536):
                tail = (tail + piece)[-2_000:]
                if b"slow_consumer" in tail and tail.endswith(b"\x11\x3d"):
                    return tail
        except OSError:
            pass
        return tail

    tail = await asyncio.to_thread(read_all)
    assert b'"slow_consumer"' in tail
    assert (4413).to_bytes(2, "big") in tail
    raw.close()
    await talker.close()


# --- Limits and the end -----------------------------------------------------------------------------------------------


async def test_time_and_rates_end_or_slow_a_socket() -> None:
    settings = {
        "CHAT_MESSAGES_PER_10S": "3",
        "CHAT_HEARTBEAT_TIMEOUT": "1",
        "ACCESS_TOKEN_LIFETIME": "9",
        "JWT_LEEWAY": "1",
        "CHAT_TOKEN_EXPIRING": "8",
    }
    with live.server("uvicorn", **settings) as server:
        alice, bob = server.person(), server.person()
        room = (server.sign_in(alice.name)).direct(bob)
        alice = server.sign_in(alice.name)
        wire, quiet = await alice.open(f"/ws/chat/{room}/"), await alice.open()
        for number in range(4):
            await wire.send("message", content=str(number), ref=number)
        error = await wire.next("error")
        assert (error["code"], error["ref"], error["retryable"]) == ("throttled", 3, True)
        assert 0 < error["retry_after_ms"] <= 10_000
        await wire.send("ping")
        assert await wire.closed() in (4408, 4401)
        assert (await quiet.next("token_expiring"))["in_s"] <= 8
        renewed = server.ok("POST", "/api/auth/token/refresh/", {"refresh": alice.refresh})["access"]
        await quiet.send("authenticate", token=renewed, ref="a")
        assert (await quiet.next("authenticated"))["ref"] == "a"
        assert await quiet.closed() == 4401
        assert quiet.seen[-1] == {"type": "bye", "code": "token_not_valid", "close": 4401}


@pytest.mark.parametrize("kind", ["uvicorn", "daphne"])
async def test_sigterm_says_goodbye_to_every_socket_before_the_server_goes(kind: str) -> None:
    with live.server(kind) as server:
        people = [server.person() for _ in range(4)]
        wires = [await one.open() for one in people for _ in range(3)]
        stopping = asyncio.ensure_future(asyncio.to_thread(server.stop))
        codes = await asyncio.gather(*(wire.closed() for wire in wires))
        assert set(codes) == {4410}
        byes = [wire.seen[-1] for wire in wires]
        assert {bye["code"] for bye in byes} == {"server_drain"}
        assert len({bye["reconnect_in_ms"] for bye in byes}) > 1
        await stopping


async def test_a_stuck_client_holds_up_no_shutdown() -> None:
    with live.server("uvicorn") as server:
        alice, bob = server.person(), server.person()
        room = alice.direct(bob)
        raw = await stuck(server, bob)
        talker = await alice.open()
        await flood(talker, room, 1_000)
        await asyncio.to_thread(server.stop)  # in the time that it gives itself, or this fails
        raw.close()
