"""Everything that touches PostgreSQL, through a PgBouncer in transaction mode that has two connections for all.

The database begins empty: the server's own migrations go through the pooler too.
"""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import databases, live, servers

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def postgresql(new_database: Callable[[], str]) -> str:
    """The URL of a database without tables."""
    return servers.create_database(new_database(), f"pooled_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def server(postgresql: str) -> Iterator[live.Server]:
    folder = Path(tempfile.mkdtemp(prefix="alviar-pool-"))  # not pytest's, which PgBouncer's user may not enter
    try:
        with (
            databases.pgbouncer(postgresql, folder, pool_size=2) as url,
            live.server(database_url=url, DATABASE_POOLED_BY="pgbouncer", TASKS_IN_PROCESS="true") as started,
        ):
            yield started
            log = started.said()
            assert "Traceback" not in log
            assert "Prepared" not in log
    except servers.NotAvailable as error:
        pytest.skip(f"needs PgBouncer: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def test_migrations_went_through_and_left_no_lock(server: live.Server, postgresql: str) -> None:
    assert ask(postgresql, "SELECT count(*) FROM django_migrations") > [(20,)]
    locks = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE d.datname = current_database()"
    assert ask(postgresql, f"{locks} AND locktype = 'advisory'") == [(0,)]


def test_many_share_two_connections_that_know_the_limits(server: live.Server, postgresql: str) -> None:
    people = [server.person() for _ in range(3)]
    with ThreadPoolExecutor(12) as threads:
        answers = threads.map(lambda number: people[number % 3].ok("GET", "/api/users/me/"), range(60))
    assert [answer["username"] for answer in answers] == [people[number % 3].name for number in range(60)]
    pooled = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()"
    )
    assert ask(postgresql, f"{pooled} AND pid <> pg_backend_pid()")[0][0] <= 2
    assert ask(server.environment["DATABASE_URL"], "SHOW lock_timeout") == [("4500ms",)]


@pytest.mark.promise
def test_parallel_refreshes_have_one_successor(server: live.Server) -> None:
    person = server.person()

    def refresh(_number: int) -> Any:
        return server.ok("POST", "/api/auth/token/refresh/", {"refresh": person.refresh})["refresh"]

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(refresh, range(8)))) == 1


@pytest.mark.promise
async def test_two_write_at_once_and_a_third_resumes_all_of_it(server: live.Server) -> None:
    alice, bob, charlie = [await asyncio.to_thread(server.person) for _ in range(3)]
    room = await asyncio.to_thread(alice.group, bob, charlie)
    wires = [await person.open() for person in (alice, bob)]

    async def write(wire: live.Wire, name: str) -> None:
        for number in range(40):
            frame = {"conversation_uuid": room, "content": f"{name} {number}", "client_msg_id": str(uuid.uuid4())}
            await wire.send("message", **frame)
        for _ in range(40):
            await wire.next("ack")

    await asyncio.gather(write(wires[0], "alice"), write(wires[1], "bob"))
    reader = await charlie.open()
    await reader.send("resume", epoch=reader.hello["epoch"], cursors={room: 0})
    events = await reader.events(80, kind="message.created")
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    for name in ("alice", "bob"):  # everything, in the order in which each wrote
        texts = [event["data"]["content"] for event in events if event["data"]["content"].startswith(name)]
        assert texts == [f"{name} {number}" for number in range(40)]
    for wire in (*wires, reader):
        await wire.close()


@pytest.mark.promise
def test_a_repeat_is_stored_once_and_found_by_search(server: live.Server) -> None:
    alice, bob = server.person(), server.person()
    room = alice.direct(bob)
    again = {"client_msg_id": str(uuid.uuid4())}
    first, second = (alice.say(room, "a pelican in a pool", **again) for _ in range(2))
    assert first["uuid"] == second["uuid"]
    found = bob.ok("GET", "/api/chat/search/?q=pelican")["results"]
    assert len(found) == 1


def test_a_task_runs(server: live.Server) -> None:
    person = server.person()
    server.ok("POST", "/api/auth/password-reset/", {"email": f"{person.name}@example.com"})
    mails = Path(server.environment["MAIL_DIR"])

    def written() -> bool:
        texts = [file.read_text(errors="replace") for file in mails.glob("*") if file.is_file()]
        return any(f"{person.name}@example.com" in text and "reset-password" in text for text in texts)

    live.wait_until(written)
