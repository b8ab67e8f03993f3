"""PostgreSQL gone or hanging under a running server: what is answered meanwhile, and when it works again."""

import threading
from collections.abc import Iterator

import pytest

from tests import live, servers
from tests.servers import PostgreSQL

pytestmark = pytest.mark.live


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
    with live.server(database_url=database.url, DATABASE_TIMEOUT_MS="1500", HTTP_THREADS="4") as started:
        yield started


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
    live.wait_until(lambda: _ask(server, person)[0] == 200)


@pytest.mark.parametrize("how", ["gone", "hanging"])
def test_a_database_that_goes_is_503_then_works_again_and_is_logged_once(
    database: PostgreSQL, server: live.Server, how: str
) -> None:
    person = server.person()
    before = len(server.said())
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
        live.wait_until(lambda: "database.away" in server.said()[before:])
        for _ in range(20):
            _refused(server, person)
    finally:
        (database.go_on if how == "gone" else database.resume)()
    _eventually_ok(server, person)
    live.wait_until(lambda: "database.back" in server.said()[before:])
    for _ in range(30):  # no stale connection is left in the pool
        assert _ask(server, person)[0] == 200
    log = server.said()[before:]
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


def test_a_database_that_takes_no_writes_any_more_is_503_then_works_again(
    database: PostgreSQL, server: live.Server
) -> None:
    """As an old primary is after a failover: connections that were good answer, and refuse every change."""
    import psycopg

    def read_only(value: str) -> None:
        with psycopg.connect(database.url, autocommit=True, options="-c default_transaction_read_only=off") as admin:
            admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            admin.execute("SELECT pg_reload_conf()")

    person = server.person()
    before = len(server.said())
    read_only("on")
    try:
        for _ in range(10):
            status, body = server.call("PATCH", "/api/users/me/", {"first_name": "A"}, token=person.access)
            assert (status, body["code"]) == (503, "temporarily_unavailable")
        live.wait_until(lambda: "it takes no writes" in server.said()[before:])
        _refused(server, person)
    finally:
        read_only("off")
    live.wait_until(lambda: server.call("PATCH", "/api/users/me/", {"first_name": "A"}, token=person.access)[0] == 200)
    live.wait_until(lambda: "database.back" in server.said()[before:])
    assert "Traceback" not in server.said()[before:]
