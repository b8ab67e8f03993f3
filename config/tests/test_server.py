"""The launcher, as real processes: what `make run` and `make serve` start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from tests.servers import free_port

pytestmark = pytest.mark.live

KEY = "k9v2Xr7mQ4wZ8nB3cF6hJ1pL5tY0sD2gU7aE9iO4Tq6Wm3Nz8Kx1"


class Started:
    def __init__(self, process, port, log):
        self.process, self.port, self.log = process, port, log

    def get(self, path, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def login(self, username, password="alviar-demo"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/auth/login/",
            data=json.dumps({"username": username, "password": password}).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def raw(self, data, *, wait_s=5):
        """Send bytes as they are and return all that comes back until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as wire:
            wire.sendall(data)
            wire.settimeout(1)
            said = b""
            try:
                while piece := wire.recv(65_536):
                    said += piece
            except (TimeoutError, ConnectionResetError):
                pass
        return said

    def said(self):
        return self.log.read_text()


@contextmanager
def started(mode, folder, **environment):
    port = int(environment.setdefault("PORT", str(free_port())))
    environment.setdefault("DATABASE_URL", f"sqlite:///{folder / 'db.sqlite3'}")
    environment.setdefault("MAIL_DIR", str(folder / "mail"))
    environment.setdefault("STATIC_ROOT", str(folder / "static"))
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    log = folder / f"log-{time.monotonic_ns()}"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.server", mode],
            cwd=settings.BASE_DIR,
            env=clean | environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        server = Started(process, port, log)
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    if server.get("/healthz")[0] == 200:
                        break
                except OSError:
                    time.sleep(0.1)
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    raise


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    with started("run", tmp_path_factory.mktemp("with spaces in it")) as server:
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
        assert second.process.wait(30) == 1
    assert f"Cannot listen on 127.0.0.1:{embedded.port}" in second.said()
    assert "Traceback" not in second.said()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_run_stops_within_seconds_and_starts_again_on_the_same_file(tmp_path, signum):
    for _ in range(2):
        with started("run", tmp_path) as server:
            assert server.login("alice") == 200
            begun = time.monotonic()
            server.process.send_signal(signum)
            assert server.process.wait(15) == 0
            assert time.monotonic() - begun < 8


def test_demo_people_are_shut_out_where_others_can_reach_the_server(tmp_path):
    with started("run", tmp_path) as server:
        assert server.login("admin") == 200
    with started("run", tmp_path, HOST="0.0.0.0") as server:
        assert "alviar-demo" not in server.said()
        assert [server.login(name) for name in ("alice", "bob", "charlie", "admin")] == [401] * 4
    with started("run", tmp_path) as server:
        assert server.login("admin") == 200


def test_a_database_that_never_answers_is_one_clear_line(tmp_path):
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    with started("run", tmp_path, DATABASE_URL=url, STARTUP_WAIT_SECONDS="1") as server:
        assert server.process.wait(30) == 1
    assert "the database did not answer within 1 seconds" in server.said()
    assert "Traceback" not in server.said()


def test_serve_refuses_unsafe_settings_with_plain_lines(tmp_path):
    with started("serve", tmp_path, SECRET_KEY=KEY, ALLOWED_HOSTS="x.example") as server:
        assert server.process.wait(60) == 1
    assert "alviar.E001" in server.said()
    assert "alviar.E002" in server.said()
    assert "Traceback" not in server.said()


def test_serve_survives_the_death_of_its_parts_and_stops_them_together(tmp_path, postgres_url, valkey_url):
    port = free_port()
    production = {
        "PORT": str(port),
        "SECRET_KEY": KEY,
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS_ONLY": "false",
        "DATABASE_URL": postgres_url,
        "REDIS_URL": valkey_url,
    }
    pid_file = Path(settings.BASE_DIR) / "var" / f"serve-{port}.json"
    with started("serve", tmp_path, **production) as server:
        ready = {"database": "ok", "layer": "ok", "migrations": "ok", "tasks": "ok"}
        assert json.loads(server.get("/readyz")[1]) == ready
        assert server.login("alice") == 401, "no demo people in production"
        before = json.loads(pid_file.read_text())
        assert len(before["workers"]) == 2
        victims = [before["workers"][0], before["tasks"]]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        deadline, resets = time.monotonic() + 30, 0
        while time.monotonic() < deadline:
            try:
                assert server.get("/healthz")[0] == 200
            except ConnectionError:
                resets += 1  # it was being answered by the one that was killed
                assert resets <= 1
            after = json.loads(pid_file.read_text())
            if len(after["workers"]) == 2 and after["tasks"] and not {*after["workers"], after["tasks"]} & {*victims}:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(server.said())
        server.process.terminate()
        assert server.process.wait(40) == 0
        lines = [json.loads(line) for line in server.said().splitlines()]  # one JSON log, the parent's lines included
        ended = [line for line in lines if line["event"] == "server.process_ended"]
        assert {line["pid"] for line in ended} == {*victims}
        assert {"server.serving", "server.stopping", "server.stopped"} <= {line["event"] for line in lines}
    for pid in (*after["workers"], after["tasks"]):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not pid_file.exists()
