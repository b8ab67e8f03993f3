"""docs/backup.md as a whole: dump, lose, restore, renew the epoch; devices that were ahead read afresh."""

import re
import subprocess
import uuid
from collections.abc import Callable
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
