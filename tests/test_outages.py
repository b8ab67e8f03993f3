"""PostgreSQL gone or hanging under a running server: what is answered meanwhile, and when it works again."""

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import live, servers
from tests.chaos.stores import PostgreSQL, Valkey

pytestmark = pytest.mark.live

WAIT_SECONDS = 20


@pytest.fixture(scope="module")
def database() -> Iterator[PostgreSQL]:
    try:
        started = PostgreSQL(fsync=False)
        started.start()
    except servers.NotAvailable as error:
        pytest.skip(f"needs PostgreSQL: {error}")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def server(database: PostgreSQL) -> Iterator[live.Server]:
    with tempfile.TemporaryDirectory(prefix="alviar-live-") as folder:
        environment = live.environment_of(
            Path(folder), database_url=database.url, DATABASE_TIMEOUT_MS="1500", HTTP_THREADS="4"
        )
        started = live.start("uvicorn", environment, Path(folder) / "log")
        try:
            yield started
        finally:
            live.end(started.process)


def _refused(server: live.Server, person: live.Person) -> None:
    """Ask until the answer is the right refusal: the first may still be under way when the database goes."""
    status, body, headers = _ask(server, person)
    assert (status, body["code"], body["action"]) == (503, "temporarily_unavailable", "retry")
    assert int(headers["retry-after"]) >= 1


def _ask(server: live.Server, person: live.Person) -> tuple[int, dict[str, object], dict[str, str]]:
    import http.client
    import json

    connection = http.client.HTTPConnection(server.base.removeprefix("http://"), timeout=60)
    connection.request("GET", "/api/users/me/", headers={"Authorization": f"Bearer {person.access}"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body, {name.lower(): value for name, value in answer.getheaders()}


def _eventually_ok(server: live.Server, person: live.Person) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while _ask(server, person)[0] != 200:
        assert time.monotonic() < deadline, server.log.read_text()[-3000:]
        time.sleep(0.1)


@pytest.mark.parametrize("how", ["gone", "hanging"])
def test_a_database_that_goes_is_503_then_works_again_and_is_logged_once(
    database: PostgreSQL, server: live.Server, how: str
) -> None:
    person = server.person()
    before = len(server.log.read_text())
    (database.halt if how == "gone" else database.hang)()
    try:
        statuses: list[int] = []
        askers = [
            threading.Thread(target=lambda: statuses.append(_ask(server, person)[0])) for _ in range(12)
        ]  # more than there are threads
        for asker in askers:
            asker.start()
        assert server.call("GET", "/healthz")[0] == 200  # whatever the threads do
        for asker in askers:
            asker.join()
        assert statuses == [503] * 12
        while "database.away" not in server.log.read_text()[before:]:
            time.sleep(0.05)
        for _ in range(20):
            _refused(server, person)
    finally:
        (database.go_on if how == "gone" else database.resume)()
    _eventually_ok(server, person)
    while "database.back" not in server.log.read_text()[before:]:
        time.sleep(0.05)
    for _ in range(30):  # no stale connection is left in the pool
        assert _ask(server, person)[0] == 200
    log = server.log.read_text()[before:]
    assert (log.count("database.away"), log.count("database.back")) == (1, 1)
    assert "Traceback" not in log
    assert "psycopg.pool" not in log


def test_a_row_that_stays_locked_is_503_and_no_outage(database: PostgreSQL, server: live.Server) -> None:
    import psycopg

    person = server.person()
    with psycopg.connect(database.url) as locker:
        locker.execute("SELECT 1 FROM users_user WHERE id = %s FOR UPDATE", [person.id])
        status, body = server.call("PATCH", "/api/users/me/", {"first_name": "A"}, token=person.access)
        assert (status, body["code"]) == (503, "temporarily_unavailable")
        assert server.person().ok("GET", "/api/users/me/")["first_name"] == ""  # everybody else goes on
    _eventually_ok(server, person)


@pytest.mark.parametrize("how", ["hanging", "gone"])
async def test_a_revocation_reaches_the_other_process_while_redis_is_away_and_the_log_says_it_once(
    database: PostgreSQL, how: str
) -> None:
    try:
        valkey = Valkey()
        valkey.start()
    except Exception as error:
        pytest.skip(f"needs Valkey: {error}")
    both: list[live.Server] = []
    with tempfile.TemporaryDirectory(prefix="alviar-live-") as folder:
        try:
            for name in ("one", "two"):
                (Path(folder) / name).mkdir()
                environment = live.environment_of(
                    Path(folder) / name,
                    database_url=database.url,
                    redis_url=valkey.url,
                    CHAT_SWEEP_SECONDS="600",  # the sweep is not what finds it
                    JWT_SIGNING_KEYS="k:0123456789012345678901234567890123456789",
                )
                both.append(live.start("uvicorn", environment, Path(folder) / name / "log"))
            one, two = both
            alice = one.person()
            wire = await live.Person(two, alice.name, alice.id, alice.access, alice.refresh, alice.sid).open()
            other = one.sign_in(alice.name)
            (valkey.hang if how == "hanging" else valkey.kill)()
            other.ok("POST", f"/api/users/sessions/{alice.sid}/revoke/")
            assert await wire.closed() == 4503
            while not all("layer.broken" in server.log.read_text() for server in both):
                time.sleep(0.05)
            assert other.ok("GET", "/api/users/me/")["id"] == alice.id
            (valkey.resume if how == "hanging" else valkey.start_empty)()
            while not all("layer.mended" in server.log.read_text() for server in both):
                time.sleep(0.05)
            for server in both:
                log = server.log.read_text()
                assert "Traceback" not in log
                assert log.count("cache.away") <= 1
                assert log.count("layer.broken") == log.count("layer.mended") == 1
        finally:
            for server in both:
                live.end(server.process)
            if how == "hanging":
                valkey.resume()
            valkey.stop()
