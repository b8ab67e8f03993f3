"""Patroni with etcd, as Debian has them: kill the primary while somebody writes, and count what is there afterwards.

    python -m tests.patroni

Two PostgreSQL under Patroni with synchronous mode and an etcd on loopback, HAProxy with Patroni's check, one server of
ours: the samples `deploy/patroni.yml` and `deploy/haproxy.cfg`. Says so and exits with 75 where a program is missing.
"""

import asyncio
import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import yaml

from tests import databases, live, servers
from tests.servers import NotAvailable, free_port
from tests.test_failover import Asker, Reader, Writer

NOT_RUN = 75
PASSWORD = "a password of the rehearsal"


class Etcd:
    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder / "etcd"
        self.folder.mkdir()

    def start(self) -> databases.Daemon:
        binary, peers = databases.program("etcd", "etcd-server"), f"http://127.0.0.1:{free_port()}"
        clients = f"http://127.0.0.1:{self.port}"
        where = ["--data-dir", str(self.folder / "data"), "--unsafe-no-fsync", "--logger", "zap"]
        ours = ["--listen-client-urls", clients, "--advertise-client-urls", clients]
        more = ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        command = [binary, "--name", "one", *where, *ours, *more, "--initial-cluster", f"one={peers}"]
        daemon = databases.Daemon(command, self.folder, self.port)
        daemon.wait()
        return daemon


class Node:
    """A PostgreSQL under a Patroni."""

    def __init__(self, name: str, etcd: Etcd, folder: Path) -> None:
        self.name, self.port, self.rest = name, free_port(), free_port()
        self.folder = folder / name
        self.folder.mkdir()
        self.url = f"postgresql://postgres:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/alviar"
        settings = yaml.safe_load((databases.DEPLOY / "patroni.yml").read_text())
        address, rest = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.rest}"
        settings |= {"name": name, "etcd3": {"hosts": [f"127.0.0.1:{etcd.port}"]}, "watchdog": {"mode": "off"}}
        settings["restapi"] = {"listen": rest, "connect_address": rest}
        mine = settings["postgresql"]
        mine |= {"listen": address, "connect_address": address, "data_dir": str(self.folder / "data")}
        mine |= {"bin_dir": str(servers.postgresql_binaries()), "pgpass": str(self.folder / "pgpass")}
        for login in mine["authentication"].values():
            login["password"] = PASSWORD
        mine["basebackup"] = [{"checkpoint": "fast"}]
        mine["parameters"] = {"unix_socket_directories": str(self.folder)}
        rules = settings["bootstrap"]["pg_hba"]
        settings["bootstrap"]["pg_hba"] = [rule.replace("10.0.0.0/24", "127.0.0.1/32") for rule in rules]
        (self.folder / "patroni.yml").write_text(yaml.safe_dump(settings))
        self.as_postgres: list[str] = []
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            for path in (self.folder, self.folder / "patroni.yml"):
                os.chown(path, owner.pw_uid, owner.pw_gid)
            self.as_postgres = ["runuser", "-u", "postgres", "--"]

    def start(self) -> None:
        binary = databases.program("patroni", "patroni")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.as_postgres, binary, "patroni.yml"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            )

    def is_(self, role: str) -> bool:
        """Return what Patroni answers to `GET /role`: primary, replica, sync."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest, timeout=5)
        try:
            connection.request("GET", f"/{role}")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """SIGKILL to Patroni and every process of its PostgreSQL, as a power cut would."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        backends = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        os.killpg(self.process.pid, signal.SIGKILL)
        for pid in (postmaster, *map(int, backends)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        with suppress(Exception):
            self.kill()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


def haproxy(nodes: Sequence[Node], folder: Path) -> tuple[databases.Daemon, str]:
    """Start the sample with its lines for Patroni in place of those for `primary.py`."""
    port, lines = free_port(), (databases.DEPLOY / "haproxy.cfg").read_text().splitlines()
    kept = [line for line in lines if line.startswith("    #   ") and "host " not in line]
    with_patroni = [line.replace("    #   ", "    ") for line in kept]
    ours = [line for line in lines if not line.strip().startswith(("http-check", "default-server", "server"))]
    text = "\n".join([*ours, *with_patroni]).replace("127.0.0.1:5000", f"127.0.0.1:{port}")
    for node in nodes:
        text += f"\n    server {node.name} 127.0.0.1:{node.port} port {node.rest}"
    (folder / "haproxy.cfg").write_text(f"{text}\n")
    daemon = databases.Daemon([databases.program("haproxy", "haproxy"), "-db", "-f", "haproxy.cfg"], folder, port)
    daemon.wait()
    return daemon, nodes[0].url.replace(f":{nodes[0].port}/", f":{port}/")


async def rehearse(server: live.Server, old: Node, new: Node) -> list[str]:
    """Kill the primary under a writer, a reader and somebody who asks; return what is wrong."""
    alice, bob = [await asyncio.to_thread(server.person) for _ in range(2)]
    room = await asyncio.to_thread(alice.direct, bob)
    writer, reader, asker, done = Writer(alice, room), Reader(bob, room), Asker(bob), asyncio.Event()
    reading, writing = asyncio.create_task(reader.read()), asyncio.create_task(writer.write(done))
    asker.start()
    await writer.at_least(50)

    killed = time.monotonic()
    await asyncio.to_thread(old.kill)
    await asyncio.to_thread(live.wait_until, lambda: new.is_("primary"))
    promoted, before = time.monotonic(), len(writer.acknowledged)
    await writer.at_least(before + 20)
    first = min((at for at in writer.acknowledged.values() if at > promoted), default=0.0) - promoted
    print(f"promoted {promoted - killed:.1f} s after the kill, first ack {first:.1f} s after the promotion", flush=True)

    old.start()  # with its old data, as a service manager would
    await asyncio.to_thread(live.wait_until, lambda: old.is_("replica"))
    await writer.at_least(len(writer.acknowledged) + 50)
    print(f"the old primary is a standby {time.monotonic() - promoted:.1f} s after the promotion", flush=True)
    done.set()
    await writing
    asker.done.set()
    await asyncio.to_thread(asker.join)

    sent, wrong = list(writer.acknowledged), []
    own = f"conversation_id = (SELECT id FROM chat_conversation WHERE uuid = '{room}')"
    stored = [str(row[0]) for row in new.ask(f"SELECT client_msg_id FROM chat_message WHERE {own} ORDER BY seq")]
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while len(reader.texts) < len(sent):
                await asyncio.sleep(0.05)
    reading.cancel()
    print(f"acknowledged {len(sent)} / stored {len(stored)} / received {len(reader.texts)}, closes {writer.closes}")
    if stored != sent or reader.texts != sent:
        wrong.append("acknowledged, stored and received are not the same")
    if not asker.statuses() <= {200, 503}:
        wrong.append(f"answers: {asker.statuses()}")
    if first > 10:
        wrong.append("first ack more than 10 s after the promotion")
    return wrong


def run(folder: Path, stack: ExitStack) -> list[str]:
    etcd = Etcd(folder)
    stack.callback(etcd.start().stop)
    one, two = (Node(name, etcd, folder) for name in ("one", "two"))
    for node in (one, two):
        stack.callback(node.stop)
    one.start()
    live.wait_until(lambda: one.is_("primary"))
    with psycopg.connect(one.url.replace("/alviar", "/postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE alviar")
    two.start()
    live.wait_until(lambda: two.is_("sync"))
    way = folder / "way"
    way.mkdir()
    daemon, url = haproxy((one, two), way)
    stack.callback(daemon.stop)
    redis_url = stack.enter_context(servers.valkey())
    environment = live.production(folder, database_url=url, redis_url=redis_url, WORKERS="1", CHAT_SWEEP_SECONDS="2")
    server = live.start("serve", environment, folder / "serve.log")
    stack.callback(live.end, server.process)
    print("PostgreSQL under Patroni, etcd, HAProxy and the server stand", flush=True)
    return asyncio.run(rehearse(server, one, two))


def main() -> int:
    folder = Path(tempfile.mkdtemp(prefix="alviar-patroni-"))
    folder.chmod(0o755)
    try:
        with ExitStack() as stack:
            wrong = run(folder, stack)
        if wrong:
            print(f"FAILED: {json.dumps(wrong)}; the logs: {folder}")
            return 1
        shutil.rmtree(folder, ignore_errors=True)
        print("PASSED")
        return 0
    except NotAvailable as error:
        print(f"\n*** NOT RUN: Patroni: {error}\n", file=sys.stderr)
        return NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
