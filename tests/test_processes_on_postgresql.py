"""Two server processes on PostgreSQL alone: wakes by LISTEN and NOTIFY; cache, rates, presence in a table."""

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests import live
from tests.test_processes import (
    at,
    layer_of,
    test_a_message_crosses_at_once_in_both_directions,
    test_a_revocation_closes_the_socket_at_the_other_process,
    test_sockets_of_one_session_are_counted_across_processes,
    test_who_is_added_at_one_process_is_live_at_the_other,
)

__all__ = [
    "test_a_message_crosses_at_once_in_both_directions",
    "test_a_revocation_closes_the_socket_at_the_other_process",
    "test_sockets_of_one_session_are_counted_across_processes",
    "test_who_is_added_at_one_process_is_live_at_the_other",
]

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def database_url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def processes(database_url: str) -> Iterator[tuple[live.Server, live.Server]]:
    settings = {"database_url": database_url, "WAKES_URL": "postgresql", "CHAT_SWEEP_SECONDS": "600"}
    with live.server(**settings) as one, live.server(**settings) as two:
        for server in (one, two):
            live.wait_until(lambda server=server: layer_of(server) == "ok")
        yield one, two


async def test_a_listening_connection_that_is_cut_loses_and_doubles_no_message(
    processes: tuple[live.Server, live.Server], database_url: str
) -> None:
    one, two = processes
    before = [len(server.said()) for server in processes]
    alice, bob = one.person(), one.person()
    room = alice.direct(bob)
    here, there = await alice.open(f"/ws/chat/{room}/"), await at(two, bob).open(f"/ws/chat/{room}/")
    with psycopg.connect(database_url, autocommit=True) as connection:
        for number in range(30):
            if number % 10 == 5:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'alviar-wakes' AND datname = current_database()"
                )
            await here.send("message", content=str(number))
            await here.next("ack")
    events = await there.events(30)
    assert [event["data"]["content"] for event in events] == [str(number) for number in range(30)]
    for server in processes:
        await asyncio.to_thread(live.wait_until, lambda server=server: layer_of(server) == "ok")
    await here.send("message", content="again")
    [event] = await there.events(1)
    assert event["data"]["content"] == "again"
    for wire in (here, there):
        await wire.close()
    for server, length in zip(processes, before, strict=True):
        assert "Traceback" not in server.said()[length:]
