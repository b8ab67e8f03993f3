"""`make serve` without an outage: one listening socket, processes that come and go behind it."""

import asyncio
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from config.tests.test_server import KEY, started
from tests import live
from tests.servers import free_port

pytestmark = pytest.mark.live
PID_FOLDER = Path(settings.BASE_DIR) / "var"


@contextmanager
def serving(folder, postgres_url, valkey_url, **more):
    """Start `serve` with two processes; yield it, with `live.Server` for people at it."""
    environment = {
        "PORT": str(free_port()),
        "METRICS_PORT": str(free_port()),
        "SECRET_KEY": KEY,
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS_ONLY": "false",
        "DRAIN_SECONDS": "3",
        "DATABASE_URL": postgres_url,
        "REDIS_URL": valkey_url,
        **live.UNLIMITED,
        **more,
    }
    with started("serve", folder, **environment) as server:
        server.metrics_port = int(environment["METRICS_PORT"])
        server.pid_file = PID_FOLDER / f"serve-{server.port}.json"
        server.people = live.Server(f"http://127.0.0.1:{server.port}", server.process, server.log)
        yield server


def pids(server):
    return json.loads(server.pid_file.read_text())


def figure(server, name):
    """Return the sum of a figure over its labels, as a scrape has it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.metrics_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def reload(server):
    done = subprocess.run(
        [sys.executable, "-m", "config.server", "reload"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "PORT": str(server.port)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class Load:
    """Keeps asking on new connections, and saying things over REST, until told to stop."""

    def __init__(self, server, person, room):
        self.server, self.person, self.room = server, person, room
        self.stop = threading.Event()
        self.faults, self.answers, self.said = [], 0, []
        self.threads = [threading.Thread(target=work) for work in (self.ask, self.ask, self.say)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _call(self, method, path, body=None):
        wire = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        headers = {"Authorization": f"Bearer {self.person.access}", "Content-Type": "application/json"}
        try:
            wire.request(method, path, json.dumps(body) if body else None, headers)
            answer = wire.getresponse()
            answer.read()
            self.answers += 1
            if answer.status >= 400:
                self.faults.append((method, path, answer.status))
        except OSError as error:
            self.faults.append((method, path, repr(error)))
        finally:
            wire.close()

    def ask(self):
        while not self.stop.is_set():
            self._call("GET", "/api/users/me/")

    def say(self):
        while not self.stop.is_set():
            text = f"number {len(self.said)}"
            self._call("POST", f"/api/chat/conversations/{self.room}/messages/", {"content": text})
            self.said.append(text)


async def follow(person, room, heard, closes):
    """Be an app: hear everything once, come back after a `bye` with one's cursor."""
    cursor, epoch = 0, ""
    while True:
        wire = await person.open()
        epoch = wire.hello["epoch"]
        await wire.send("resume", epoch=epoch, cursors={room: cursor})
        try:
            while True:
                frame = await wire.next()
                if frame["type"] == "events":
                    for event in frame["events"]:
                        if event["seq"] <= cursor:
                            continue
                        if event["seq"] > cursor + 1:  # live before what `resume` brings: ask for what lies between
                            await wire.send("sync", conversation_uuid=room, after_seq=cursor)
                            break
                        cursor = event["seq"]
                        if event["kind"] == "message.created":
                            heard.append(event["data"]["content"])
                elif frame["type"] == "bye":
                    closes.append(frame)
        except live.ConnectionClosed:
            await asyncio.sleep((closes[-1].get("reconnect_in_ms") or 0) / 1000)
        except TimeoutError:
            continue


async def test_a_reload_refuses_no_connection_and_loses_no_message(tmp_path, postgres_url, valkey_url):
    with serving(tmp_path, postgres_url, valkey_url) as server:
        alice, bob = [await asyncio.to_thread(server.people.person) for _ in "ab"]
        room = await asyncio.to_thread(alice.direct, bob)
        before = pids(server)
        heard, closes = [], []
        device = asyncio.create_task(follow(bob, room, heard, closes))
        with Load(server, alice, room) as load:
            code, said = await asyncio.to_thread(reload, server)
            after = pids(server)
        assert code == 0, (said, server.said())
        assert load.faults == []
        assert load.answers > 20
        assert after["parent"] == before["parent"]
        assert not {*before["workers"], before["tasks"]} & {*after["workers"], after["tasks"]}
        for _ in range(100):
            if len(heard) >= len(load.said):
                break
            await asyncio.sleep(0.1)
        assert heard == load.said, device
        assert closes
        assert all(bye["close"] == 4410 and 0 < bye["reconnect_in_ms"] <= 3_000 for bye in closes)
        device.cancel()
        # Counts go on where the replaced processes stopped, and nobody is counted twice.
        assert figure(server, "alviar_messages_total") == len(load.said)
        assert figure(server, "alviar_processes") == 3


def test_the_parent_stays_small_and_the_port_is_taken_before_anything_is_migrated(tmp_path, postgres_url, valkey_url):
    with serving(tmp_path, postgres_url, valkey_url) as server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 25_000
        with serving(tmp_path, f"{postgres_url}_never", valkey_url, PORT=str(server.port)) as second:
            assert second.process.wait(60) == 1
        assert "Cannot listen on" in second.said()
        assert "did not answer" not in second.said()


def test_a_reload_with_bad_settings_leaves_everything_as_it_is(tmp_path, postgres_url, valkey_url, monkeypatch):
    dotenv = tmp_path / "settings"
    dotenv.write_text("30/min")
    with serving(tmp_path, postgres_url, valkey_url, RATE_LOGIN_FILE=str(dotenv), RATE_LOGIN="") as server:
        before = pids(server)
        dotenv.write_text("many")
        code, said = reload(server)
        assert code == 1
        assert "Not reloaded" in said
        assert "RATE_LOGIN" in server.said()
        assert {**pids(server), "reloads": 0, "failed": None} == before
        assert server.get("/readyz")[0] == 200
        dotenv.write_text("40/min")
        assert reload(server)[0] == 0, "and the next one is good"


def test_figures_are_the_sum_of_all_processes_and_survive_their_deaths(tmp_path, postgres_url, valkey_url):
    with serving(tmp_path, postgres_url, valkey_url) as server:
        for _ in range(3):
            server.people.person()
        assert figure(server, "alviar_registrations_total") == 3
        assert figure(server, "alviar_sign_ins_total") == 3
        assert server.get("/metrics")[0] == 404, "only on its own port"
        victim = pids(server)["workers"][0]
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5):
                workers = pids(server)["workers"]
            if len(workers) == 2 and victim not in workers and figure(server, "alviar_processes") == 3:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(server.said())
        assert figure(server, "alviar_registrations_total") == 3


def test_a_token_opens_the_figures_on_the_main_port_without_a_redirect(tmp_path, postgres_url, valkey_url):
    more = {"METRICS_PORT": "0", "METRICS_TOKEN": "m3tr1cs", "HTTPS_ONLY": "true", "ALLOWED_HOSTS": "chat.example.com"}
    with serving(tmp_path, postgres_url, valkey_url, **more) as server:
        status, body = server.get("/metrics", Authorization="Bearer m3tr1cs")
        assert status == 200
        assert b'alviar_info{version="' in body
        assert server.get("/metrics", Host="chat.example.com")[0] in {301, 404}
        assert server.get("/healthz")[0] == 200, "a probe knows no host name"
        assert server.get("/readyz")[0] == 200
