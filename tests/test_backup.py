"""docs/backup.md as a whole: dump, lose, restore, renew the epoch; devices that were ahead read afresh."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import live, servers

pytestmark = pytest.mark.live


def postgresql(*command: str) -> None:
    """Run one of PostgreSQL's own programs."""
    program = str(servers.postgresql_binaries() / command[0])
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def serve(tmp_path: Path, valkey_url: str) -> Any:
    """Start a server on a database; all of them end with the test."""
    running: list[live.Server] = []

    def serve(url: str) -> live.Server:
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        environment = live.environment_of(
            folder, database_url=url, redis_url=valkey_url, SECRET_KEY="k" * 20 + "v9" * 20
        )
        running.append(live.start("uvicorn", environment, folder / "log"))
        return running[-1]

    yield serve
    for server in running:
        live.end(server.process)


async def test_what_was_dumped_comes_back_and_devices_that_were_ahead_read_afresh(
    serve: Callable[[str], live.Server], postgres_url: str, tmp_path: Path
) -> None:
    before = serve(postgres_url)
    alice, bob = before.person(), before.person()
    room = alice.direct(bob)
    kept = [alice.say(room, f"kept {n}")["content"] for n in range(3)]
    dump = tmp_path / "alviar.dump"
    postgresql("pg_dump", "--format=custom", f"--file={dump}", postgres_url)
    lost = [alice.say(room, f"lost {n}") for n in range(2)]
    wire = await bob.open()
    epoch, ahead = wire.hello["epoch"], lost[-1]["seq"]
    await wire.close()
    live.end(before.process)

    # Everything is lost.
    with psycopg.connect(re.sub(r"/[^/]+$", "/postgres", postgres_url), autocommit=True) as connection:
        name = postgres_url.rpartition("/")[2]
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    postgresql("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={postgres_url}", str(dump))
    environment = {"DATABASE_URL": postgres_url}
    live.manage(environment, "migrate", "--noinput")
    live.manage(environment, "renew_epoch")

    after = serve(postgres_url)
    bob = live.Person(after, bob.name, bob.id, bob.access, bob.refresh, bob.sid)  # the session was in the dump
    alice = after.sign_in(alice.name)
    new = alice.say(room, "after the restore")
    assert new["seq"] <= ahead, "numbers are given out anew: what the device holds is not what it is now"
    wire = await bob.open()
    assert wire.hello["epoch"] != epoch
    await wire.send("resume", epoch=epoch, cursors={room: ahead})
    gap = await wire.next("gap")
    assert (gap["conversation_uuid"], gap["last_seq"]) == (room, new["seq"])
    await wire.next("resumed")
    page = bob.ok("GET", f"/api/chat/conversations/{room}/messages/")["results"]
    assert [message["content"] for message in page] == [*kept, "after the restore"]
    alice.say(room, "and on")
    assert (await wire.events(1, kind="message.created"))[0]["data"]["content"] == "and on"
    await wire.close()


# --- Point in time ----------------------------------------------------------------------------------------------------


class Cluster:
    """A PostgreSQL that archives its WAL, in a folder of its own; `back_to` restores it to a moment."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.data = folder, servers.free_port(), folder / "data"
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/alviar"
        self.binaries = servers.postgresql_binaries()
        self.prefix: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            self.prefix = ["runuser", "-u", "postgres", "--"]
        (folder / "archive").mkdir()
        if self.prefix:
            shutil.chown(folder / "archive", "postgres", "postgres")
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C")
        self.configure(
            "archive_mode = on\n"
            f"archive_command = 'test ! -f {folder}/archive/%f && cp %p {folder}/archive/%f'\n"
            f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{folder}'\nfsync = off\n"
        )
        self.start()
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "alviar")

    def run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*self.prefix, str(self.binaries / program), *words],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def configure(self, text: str) -> None:
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write(text)

    def start(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-t", "60", "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def ask(self, statement: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            row = connection.execute(statement).fetchone()
            return None if row is None else row[0]

    def wait_for(self, statement: str) -> None:
        deadline = time.monotonic() + 60
        while not self.ask(statement):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.05)

    def back_up(self) -> None:
        """Take the base as docs/backup.md does: without WAL, which is archived anyway."""
        where = str(self.folder / "base")
        self.run(
            "pg_basebackup", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "--checkpoint=fast",
            f"--pgdata={where}", "--format=tar", "--gzip", "--wal-method=none",
        )  # fmt: skip

    def archive(self) -> None:
        """Have everything until now in the archive."""
        name = self.ask("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait_for(f"SELECT last_archived_wal >= '{name}' FROM pg_stat_archiver")

    def back_to(self, moment: str) -> None:
        self.stop()
        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        if self.prefix:
            shutil.chown(self.data, "postgres", "postgres")
        subprocess.run(
            [*self.prefix, "tar", "xzf", str(self.folder / "base" / "base.tar.gz"), "-C", str(self.data)], check=True
        )
        self.configure(
            f"restore_command = 'cp {self.folder}/archive/%f %p'\n"
            f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n"
        )
        subprocess.run([*self.prefix, "touch", str(self.data / "recovery.signal")], check=True)
        self.start()
        self.wait_for("SELECT NOT pg_is_in_recovery()")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="alviar-pitr-"))  # short: the path of a Unix socket has at most 107 bytes
    made = None
    try:
        made = Cluster(folder)
        yield made
    except servers.NotAvailable as error:
        pytest.skip(f"needs PostgreSQL: {error}")
    finally:
        if made is not None:
            with contextlib.suppress(AssertionError):
                made.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_moment_and_its_files_come_back_from_a_base_and_the_archive(
    serve: Callable[[str], live.Server], cluster: Cluster, tmp_path: Path
) -> None:
    before = serve(cluster.url)
    alice, bob = before.person(), before.person()
    room = alice.direct(bob)
    alice.say(room, "in the base")
    cluster.back_up()
    picture = upload(alice, b"a letter")
    alice.say(room, "in the archive", attachments=[picture])
    moment = str(cluster.ask("SELECT clock_timestamp()"))
    lost = alice.say(room, "after the moment")
    wire = await bob.open()
    epoch, ahead = wire.hello["epoch"], lost["seq"]
    await wire.close()
    cluster.archive()
    media = Path(before.environment["MEDIA_ROOT"])
    shutil.copytree(media, tmp_path / "copy")  # after the moment: what it names is there
    live.end(before.process)
    shutil.rmtree(media)

    cluster.back_to(moment)
    live.manage({"DATABASE_URL": cluster.url}, "renew_epoch")
    after = serve(cluster.url)
    shutil.copytree(tmp_path / "copy", after.environment["MEDIA_ROOT"], dirs_exist_ok=True)
    bob = live.Person(after, bob.name, bob.id, bob.access, bob.refresh, bob.sid)
    page = bob.ok("GET", f"/api/chat/conversations/{room}/messages/")["results"]
    assert sorted(message["content"] for message in page) == ["in the archive", "in the base"]
    assert bob.ok("GET", f"/api/chat/attachments/{picture}/meta/")["state"] == "ready"
    assert after.call("GET", f"/api/chat/attachments/{picture}/", token=bob.access) == (200, b"a letter")
    wire = await bob.open()
    assert wire.hello["epoch"] != epoch
    await wire.send("resume", epoch=epoch, cursors={room: ahead})
    assert (await wire.next("gap"))["conversation_uuid"] == room
    await wire.close()


def upload(person: live.Person, content: bytes) -> str:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="letter.txt"\r\n\r\n'
    request = urllib.request.Request(f"{person.server.base}/api/chat/attachments/", head + content + b"\r\n--x--\r\n")
    request.add_header("Authorization", f"Bearer {person.access}")
    request.add_header("Content-Type", "multipart/form-data; boundary=x")
    with urllib.request.urlopen(request, timeout=live.WAIT_SECONDS) as answer:
        return str(json.loads(answer.read())["uuid"])
