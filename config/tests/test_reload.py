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
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from tests import live
from tests.servers import free_port

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server(tmp_path_factory, new_database, valkey_url):
    """`serve` with two processes, one of whose settings stands in a file."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "rate").write_text("0")
    environment = live.production(folder, database_url=new_database(), redis_url=valkey_url)
    del environment["RATE_LOGIN"]
    environment |= {
        "METRICS_PORT": str(free_port()),
        "DRAIN_SECONDS": "10",
        "RATE_LOGIN_FILE": str(folder / "rate"),
    }
    started = live.start("serve", environment, folder / "log")
    try:
        yield started
    finally:
        live.end(started.process)


def figure(server, name):
    """Return the sum of a figure over its labels, as a scrape has it."""
    port = server.environment["METRICS_PORT"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=live.WAIT_SECONDS) as answer:
        text = answer.read().decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.M))


def reload(server):
    done = subprocess.run(
        [sys.executable, "-m", "config.server", "reload"],
        cwd=live.ROOT,
        env=live.clean_environment() | {"PORT": str(server.port)},
        capture_output=True,
        text=True,
        timeout=live.START_SECONDS,
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
        wire = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=live.WAIT_SECONDS)
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


@pytest.mark.promise
async def test_a_reload_refuses_no_connection_and_loses_no_message(server):
    alice, bob = [await asyncio.to_thread(server.person) for _ in "ab"]
    room = await asyncio.to_thread(alice.direct, bob)
    before, counted = server.processes(), figure(server, "alviar_messages_total")
    heard, closes = [], []
    device = asyncio.create_task(follow(bob, room, heard, closes))
    with Load(server, alice, room) as load:
        code, said = await asyncio.to_thread(reload, server)
        after = server.processes()
    assert code == 0, (said, server.said())
    assert load.faults == []
    assert load.answers > 20
    assert after["parent"] == before["parent"]
    assert not {*before["workers"], before["tasks"]} & {*after["workers"], after["tasks"]}
    with suppress(AssertionError):
        await asyncio.to_thread(live.wait_until, lambda: len(heard) >= len(load.said))
    assert heard == load.said, device
    assert closes
    assert all(bye["close"] == 4410 and 0 < bye["reconnect_in_ms"] <= 3_000 for bye in closes)
    device.cancel()
    # Counts go on where the replaced processes stopped, and nobody is counted twice.
    await asyncio.to_thread(live.wait_for, lambda: figure(server, "alviar_messages_total"), counted + len(load.said))
    await asyncio.to_thread(live.wait_for, lambda: figure(server, "alviar_processes"), 3)


def test_the_parent_stays_small_and_the_port_is_taken_before_anything_is_migrated(server, tmp_path):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    if not os.environ.get("COVERAGE_PROCESS_CONFIG"):  # what measures it is larger than it
        assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 25_000
    elsewhere = {"DATABASE_URL": f"{server.environment['DATABASE_URL']}_never", "METRICS_PORT": "0"}
    second = live.launch("serve", server.environment | elsewhere, tmp_path / "log")
    try:
        assert second.process.wait(live.START_SECONDS) == 1
    finally:
        live.end(second.process)
    assert "Cannot listen on" in second.said()
    assert "did not answer" not in second.said()


def test_a_reload_with_bad_settings_leaves_everything_as_it_is(server):
    file = Path(server.environment["RATE_LOGIN_FILE"])
    before = server.processes()
    file.write_text("many")
    try:
        code, said = reload(server)
        assert code == 1
        assert "Not reloaded" in said
        assert "RATE_LOGIN" in server.said()
        assert server.processes() | {"reloads": before["reloads"], "failed": before["failed"]} == before
        assert server.get("/readyz")[0] == 200
    finally:
        file.write_text("0")
    assert reload(server)[0] == 0, "and the next one is good"


def test_figures_are_the_sum_of_all_processes_and_survive_their_deaths(server):
    names = ("alviar_registrations_total", "alviar_sign_ins_total")
    before = [figure(server, name) for name in names]
    for _ in range(3):
        server.person()
    after = [value + 3 for value in before]
    assert [figure(server, name) for name in names] == after
    assert server.get("/metrics")[0] == 404, "only on its own port"
    victim = server.processes()["workers"][0]
    os.kill(victim, signal.SIGKILL)

    def replaced():
        with socket.create_connection(("127.0.0.1", server.port), timeout=live.WAIT_SECONDS):
            workers = server.processes()["workers"]
        return len(workers) == 2 and victim not in workers and figure(server, "alviar_processes") == 3

    live.wait_until(replaced)
    assert [figure(server, name) for name in names] == after


def test_a_token_opens_the_figures_on_the_main_port_without_a_redirect(tmp_path):
    settings = {"METRICS_TOKEN": "m3tr1cs", "HTTPS_ONLY": "true", "ALLOWED_HOSTS": "chat.example.com"}
    with live.server(**settings) as server:
        status, body = server.get("/metrics", Authorization="Bearer m3tr1cs")
        assert status == 200
        assert b'alviar_info{version="' in body
        assert server.get("/metrics", Host="chat.example.com")[0] in {301, 404}
        assert server.get("/healthz")[0] == 200, "a probe knows no host name"
        assert server.get("/readyz")[0] == 200
