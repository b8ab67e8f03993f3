"""The launcher, as real processes: what `make run` and `make serve` start."""

import json
import os
import signal
import socket
import time
from contextlib import contextmanager, suppress

import pytest

from tests import live
from tests.servers import free_port

pytestmark = pytest.mark.live

KEY = live.KEY


class Started(live.Server):
    def login(self, username, password="alviar-demo"):
        return self.call("POST", "/api/auth/login/", {"username": username, "password": password})[0]


@contextmanager
def started(mode, folder, **environment):
    """Start the launcher with its own defaults and yield it once it answers or has ended."""
    environment = live.clean_environment() | {"PORT": str(free_port())} | live.files_of(folder) | environment
    environment.setdefault("DATABASE_URL", live.migrated(folder / "db.sqlite3"))
    server = live.launch(mode, environment, folder / f"log-{time.monotonic_ns()}")
    server = Started(server.base, server.process, server.log, environment, mode)
    try:
        with suppress(AssertionError):
            server.wait()
        yield server
    finally:
        live.end(server.process)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("with spaces in it")
    with started("run", folder, DATABASE_URL=f"sqlite:///{folder}/new.sqlite3") as server:  # a first start
        yield server


def test_run_prints_its_addresses_and_the_demo_people_sign_in(embedded):
    said = embedded.said()
    for text in (f"http://127.0.0.1:{embedded.port}/api/docs/", "/admin/", "/api/asyncapi/", "alviar-demo"):
        assert text in said
    assert [embedded.login(name) for name in ("alice", "bob", "charlie", "admin")] == [200] * 4


def test_run_is_ready(embedded):
    assert json.loads(embedded.get("/readyz")[1])["layer"] == "memory"


def test_run_hides_errors_and_its_server(embedded):
    status, body = embedded.get("/api/nix/")
    assert (status, json.loads(body)["code"]) == (404, "not_found")
    assert b"server:" not in embedded.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").lower()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /api/auth/login/ HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", b"400"),
        (b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", b"400"),
        (b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"40"),
        (
            b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
            b"413",
        ),
        (
            b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"10000\r\n" + b"x" * 65_536 + b"\r\n") * 17
            + b"0\r\n\r\n",
            b"413",
        ),
        (
            b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"400",
        ),
    ],
)
def test_the_wire_never_gets_a_500(embedded, request_bytes, status):
    said = embedded.raw(request_bytes)
    assert said.split(b" ", 2)[1].startswith(status), said[:200]
    assert said.startswith(b"HTTP/1.1 ")


def test_head_has_no_body(embedded):
    said = embedded.raw(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert said.endswith(b"\r\n\r\n")


def test_a_client_that_asks_first_is_told_to_go_on(embedded):
    said = embedded.raw(
        b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
    )
    assert said.startswith(b"HTTP/1.1 100")
    assert b"HTTP/1.1 400" in said


def test_a_client_that_leaves_in_the_middle_hurts_nobody(embedded):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", embedded.port)) as wire:
            wire.sendall(b"POST /api/auth/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert embedded.get("/healthz")[0] == 200
    assert "Traceback" not in embedded.said()


def test_an_unknown_socket_path_is_refused_by_http(embedded):
    said = embedded.raw(
        b"GET /ws/nix/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert said.split(b" ", 2)[1] == b"404"


def test_a_taken_port_is_one_clear_line(embedded, tmp_path):
    with started("run", tmp_path, PORT=str(embedded.port)) as second:
        assert second.process.wait(live.START_SECONDS) == 1
    assert f"Cannot listen on 127.0.0.1:{embedded.port}" in second.said()
    assert "Traceback" not in second.said()


def test_it_stops_on_a_signal_and_shuts_demo_people_out_where_others_can_reach_it(tmp_path):
    def people(server):
        return [server.login(name) for name in ("alice", "bob", "charlie", "admin")]

    def stop(server, signum):
        server.process.send_signal(signum)
        assert server.process.wait(live.START_SECONDS) == 0

    with started("run", tmp_path) as server:
        assert people(server) == [200] * 4
        stop(server, signal.SIGTERM)
    with started("run", tmp_path, HOST="0.0.0.0") as server:  # on the same file
        assert "alviar-demo" not in server.said()
        assert people(server) == [401] * 4
        stop(server, signal.SIGINT)
    with started("run", tmp_path) as server:
        assert people(server) == [200] * 4


def test_a_database_that_never_answers_is_one_clear_line(tmp_path):
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    with started("run", tmp_path, DATABASE_URL=url, STARTUP_WAIT_SECONDS="1") as server:
        assert server.process.wait(live.START_SECONDS) == 1
    assert "the database did not answer within 1 seconds" in server.said()
    assert "Traceback" not in server.said()


def test_serve_refuses_unsafe_settings_with_plain_lines(tmp_path):
    with started("serve", tmp_path, SECRET_KEY=KEY, ALLOWED_HOSTS="x.example") as server:
        assert server.process.wait(live.START_SECONDS) == 1
    assert "alviar.E001" in server.said()
    assert "alviar.E002" in server.said()
    assert "Traceback" not in server.said()


def test_serve_survives_the_death_of_its_parts_and_stops_them_together(tmp_path, postgres_url, valkey_url):
    production = {
        "SECRET_KEY": KEY,
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS_ONLY": "false",
        "DATABASE_URL": postgres_url,
        "REDIS_URL": valkey_url,
    }
    with started("serve", tmp_path, **production) as server:
        ready = {"database": "ok", "layer": "ok", "migrations": "ok", "tasks": "ok"}
        live.wait_for(lambda: json.loads(server.get("/readyz")[1]), ready)
        assert server.login("alice") == 401, "no demo people in production"
        before = live.wait_for(server.processes, lambda found: len(found.get("workers", [])) == 2 and found["tasks"])
        victims = [before["workers"][0], before["tasks"]]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        deadline, resets = time.monotonic() + live.START_SECONDS, 0
        while time.monotonic() < deadline:
            try:
                assert server.get("/healthz")[0] == 200
            except ConnectionError:
                resets += 1  # it was being answered by the one that was killed
                assert resets <= 1
            after = server.processes()
            if len(after["workers"]) == 2 and after["tasks"] and not {*after["workers"], after["tasks"]} & {*victims}:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(server.said())
        server.process.terminate()
        assert server.process.wait(live.START_SECONDS) == 0
        lines = [json.loads(line) for line in server.said().splitlines()]  # one JSON log, the parent's lines included
        ended = [line for line in lines if line["event"] == "server.process_ended"]
        assert {line["pid"] for line in ended} == {*victims}
        assert {"server.serving", "server.stopping", "server.stopped"} <= {line["event"] for line in lines}
    for pid in (*after["workers"], after["tasks"]):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not server.pid_file.exists()
