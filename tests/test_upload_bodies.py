"""Uploads over the wire: bodies that trickle, are cut, or are large."""

import asyncio
import contextlib
import json
import os
import socket
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests import live

pytestmark = pytest.mark.live

SLOW = 24  # three times the threads that serve requests


@pytest.fixture(scope="module")
def server(shared: live.Server) -> live.Server:
    return shared


def connect(server: live.Server) -> socket.socket:
    host, port = server.base.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), live.WAIT_SECONDS)


def head(method: str, path: str, token: str, **headers: Any) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while line := file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers, file.read(int(headers.get("content-length", 0)))


def begin(server: live.Server, person: live.Person, length: int) -> str:
    with connect(server) as connection:
        fields = {"Tus_Resumable": "1.0.0", "Upload_Length": length, "Content_Length": 0}
        connection.sendall(head("POST", "/api/chat/uploads/", person.access, **fields))
        status, headers, _body = answer(connection)
    assert status == 201
    return headers["location"]


def patch_head(path: str, person: live.Person, offset: int, length: int) -> bytes:
    return head(
        "PATCH", path, person.access, Tus_Resumable="1.0.0", Upload_Offset=offset, Content_Length=length,
        Content_Type="application/offset+octet-stream",
    )  # fmt: skip


def offset_of(server: live.Server, person: live.Person, path: str) -> int:
    with connect(server) as connection:
        connection.sendall(head("HEAD", path, person.access, Tus_Resumable="1.0.0"))
        return int(answer(connection)[1]["upload-offset"])


def multipart(size: int) -> tuple[bytes, bytes, str]:
    boundary = uuid.uuid4().hex
    start = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'.encode()
    return start, f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def test_cut_patch_keeps_what_arrived(server: live.Server) -> None:
    person = server.person()
    raw = os.urandom(3_000_000)
    path = begin(server, person, len(raw))
    with connect(server) as connection:
        connection.sendall(patch_head(path, person, 0, len(raw)) + raw[:2_000_000])
    kept = live.wait_until(lambda: offset_of(server, person, path))
    assert 0 < kept <= 2_000_000
    with connect(server) as connection:
        connection.sendall(patch_head(path, person, kept, len(raw) - kept) + raw[kept:])
        status, headers, _body = answer(connection)
    assert (status, headers["upload-offset"]) == (204, str(len(raw)))
    with connect(server) as connection:
        connection.sendall(head("GET", f"/api/chat/attachments/{headers['attachment-uuid']}/", person.access))
        assert answer(connection)[2] == raw


def test_bodies_that_trickle_hold_up_nobody(server: live.Server) -> None:
    person = server.person()
    start, end, content_type = multipart(0)
    body = start + b"x" * 500_000 + end
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(server)) for _ in range(SLOW)]
        for connection in slow:
            fields = {"Content_Type": content_type, "Content_Length": len(body)}
            connection.sendall(head("POST", "/api/chat/attachments/", person.access, **fields) + body[:1_000])
        assert person.ok("GET", "/api/users/me/")["username"] == person.name
        assert person.ok("GET", "/api/chat/conversations/")["results"] == []
        for connection in slow:
            connection.sendall(body[1_000:])
        assert {answer(connection)[0] for connection in slow} == {201}


def test_stranger_may_send_no_large_body(server: live.Server) -> None:
    start, _end, content_type = multipart(0)
    with connect(server) as connection:
        fields = {"Content_Type": content_type, "Content_Length": 5_000_000}
        connection.sendall(head("POST", "/api/chat/attachments/", "nobody", **fields) + start)
        connection.sendall(b"x" * (5_000_000 - len(start)))
        status, headers, _body = answer(connection)
    assert (status, headers["connection"]) == (401, "close")


def test_hanging_store_holds_up_no_other_request() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, contextlib.ExitStack() as stack:
        url = f"s3+http://key:secret@127.0.0.1:{silent.getsockname()[1]}/bucket"
        server = stack.enter_context(live.server(STORAGE_URL=url))
        person = server.person()
        start, end, content_type = multipart(0)
        waiting = [stack.enter_context(connect(server)) for _ in range(SLOW)]
        for connection in waiting:
            fields = {"Content_Type": content_type, "Content_Length": len(start + b"text" + end)}
            connection.sendall(head("POST", "/api/chat/attachments/", person.access, **fields) + start + b"text" + end)
        for _ in range(20):
            assert person.ok("GET", "/api/users/me/")["username"] == person.name
        assert {answer(connection)[0] for connection in waiting} == {503}


def peak_kib(process_id: int) -> int:
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory from /proc")
def test_hundred_mebibytes_cost_less_than_twenty_of_memory(server: live.Server) -> None:
    person = server.person()
    piece = os.urandom(1024 * 1024)
    for size in (1, 100):  # the first one loads what uploads need
        path = begin(server, person, size * len(piece))
        Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak starts anew
        before = peak_kib(server.process.pid)
        with connect(server) as connection:
            connection.sendall(patch_head(path, person, 0, size * len(piece)))
            for _ in range(size):
                connection.sendall(piece)
            status, headers, _body = answer(connection)
        assert (status, bool(headers["attachment-uuid"])) == (204, True)
    assert peak_kib(server.process.pid) - before < 20 * 1024


async def test_members_sockets_hear_when_a_recording_is_ready(server: live.Server) -> None:
    from chat.tests import files

    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    wire = await bob.open()
    start, end, content_type = multipart(0)
    body = start + files.voice_note() + end

    def upload() -> Any:
        with connect(server) as connection:
            fields = {"Content_Type": content_type, "Content_Length": len(body)}
            connection.sendall(head("POST", "/api/chat/attachments/", alice.access, **fields) + body)
            return json.loads(answer(connection)[2])

    attachment = await asyncio.to_thread(upload)
    mine = await alice.open()
    await mine.send("message", conversation_uuid=room, content="", attachments=[attachment["uuid"]])
    await mine.next("ack")
    found: list[dict[str, Any]] = []
    while not any(one["state"] == "ready" for one in found):
        for event in (await wire.next("events"))["events"]:
            if event["kind"] == "message.created":
                found += event["data"]["attachments"]
            if event["kind"] == "attachment.ready":
                found.append(event["data"]["attachment"])
    assert found[-1]["uuid"] == attachment["uuid"]
    assert len(found[-1]["waveform"]) == 64
    await mine.close()
    await wire.close()
