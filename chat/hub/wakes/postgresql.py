"""Wakes over PostgreSQL's own LISTEN and NOTIFY: nothing else has to run.

A NOTIFY takes a lock of the whole database at its commit, so that batches go out by a connection of their own, never in
the transaction that stores. The connection goes straight to PostgreSQL: a pooler in transaction mode keeps no LISTEN.
"""

import asyncio
import base64
import itertools
import os
from collections.abc import Sequence
from typing import Any

from django.db import connection
from psycopg import AsyncConnection, OperationalError, sql
from psycopg.pq import ExecStatus

from chat.hub.wakes.base import Wakes
from chat.hub.wakes.link import Link, Payload

TEXT_BYTES = 7_999  # the longest payload of a NOTIFY
NUMBER_BYTES = 3
NOTIFY = b"SELECT pg_notify(channel, payload) FROM unnest($1::text[], $2::text[]) AS wake(channel, payload)"
KEPT_ALIVE: dict[str, Any] = {
    "application_name": "alviar-wakes",
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# Of Django's parameters for a connection, those that are not for this one.
NOT_FOR_US = {"cursor_factory", "context", "prepare_threshold", "options", *KEPT_ALIVE}


def _seen_future() -> "asyncio.Future[None]":
    """Return a future whose exception may stay unread: whoever waited for it may have been cancelled."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


class PostgresqlLink(Link):
    """One connection that listens and notifies, driven without psycopg's own waiting.

    That one cannot be cancelled while a server hangs, and hands out notifications only to a caller that waits for them
    alone.
    """

    limit = TEXT_BYTES // 4 * 3 - NUMBER_BYTES

    def __init__(self, conninfo: str, *args: Any) -> None:
        super().__init__(*args)
        self.conninfo = conninfo
        self.connection: AsyncConnection[Any] | None = None
        # A copy of libpq's: that one closes its own when the connection fails, which uvloop does not survive.
        self.descriptor = -1
        self.numbers = itertools.count()
        self.ended: asyncio.Future[None] | None = None
        self.answered: asyncio.Future[None] | None = None

    async def dial(self) -> None:
        loop = asyncio.get_running_loop()
        self.connection = await AsyncConnection.connect(
            **self._parameters(),
            autocommit=True,
            **KEPT_ALIVE,
        )
        self.ended = _seen_future()
        self.connection.pgconn.nonblocking = 1
        self.descriptor = os.dup(self.connection.pgconn.socket)
        loop.add_reader(self.descriptor, self._readable)

    def _parameters(self) -> dict[str, Any]:
        """Return what to connect to; without an address of its own, the database of Django."""
        if self.conninfo:
            return {"conninfo": self.conninfo, "connect_timeout": 3}
        found = connection.get_connection_params()
        return {name: value for name, value in found.items() if name not in NOT_FOR_US}

    async def join(self, channels: Sequence[str]) -> None:
        for channel in channels:
            await self._execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)).as_bytes(None))

    async def part(self, channels: Sequence[str]) -> None:
        for channel in channels:
            await self._execute(sql.SQL("UNLISTEN {}").format(sql.Identifier(channel)).as_bytes(None))

    async def send(self, batch: Sequence[Payload]) -> None:
        channels = ",".join(f'"{channel}"' for channel, _ in batch)
        payloads = ",".join(self._text(payload) for _, payload in batch)
        await self._execute(NOTIFY, f"{{{channels}}}".encode(), f"{{{payloads}}}".encode())

    def _text(self, payload: bytes) -> str:
        """Return the payload as text, with a number: PostgreSQL sends what is the same in one batch only once."""
        number = next(self.numbers) % (1 << 8 * NUMBER_BYTES)
        return base64.b64encode(number.to_bytes(NUMBER_BYTES, "big") + payload).decode()

    async def listen(self) -> None:
        assert self.ended is not None  # noqa: S101
        await self.ended

    async def hang_up(self) -> None:
        if self.descriptor >= 0:
            loop, descriptor, self.descriptor = asyncio.get_running_loop(), self.descriptor, -1
            loop.remove_reader(descriptor)
            loop.remove_writer(descriptor)
            os.close(descriptor)
        if self.connection is not None:
            await self.connection.close()

    # --- The protocol ---

    async def _execute(self, command: bytes, *parameters: bytes) -> None:
        assert self.connection is not None  # noqa: S101
        self.answered = _seen_future()
        self.connection.pgconn.send_query_params(command, parameters or None)
        self._flush()
        await self.answered

    def _flush(self) -> None:
        assert self.connection is not None  # noqa: S101
        pgconn, loop = self.connection.pgconn, asyncio.get_running_loop()
        try:
            if pgconn.flush():
                loop.add_writer(self.descriptor, self._flush)
            else:
                loop.remove_writer(self.descriptor)
        except OperationalError as error:
            self._broken(error)

    def _readable(self) -> None:
        assert self.connection is not None  # noqa: S101
        pgconn = self.connection.pgconn
        try:
            pgconn.consume_input()
        except OperationalError as error:
            self._broken(error)
            return
        while (notify := pgconn.notifies()) is not None:
            payload = base64.b64decode(notify.extra)[NUMBER_BYTES:]
            self.took(notify.relname.decode(), payload)
        while self.answered is not None and not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:
                if not self.answered.done():
                    self.answered.set_result(None)
                self.answered = None
            elif result.status == ExecStatus.FATAL_ERROR and not self.answered.done():
                self.answered.set_exception(OperationalError(result.error_message.decode(errors="replace").strip()))

    def _broken(self, error: Exception) -> None:
        assert self.ended is not None  # noqa: S101
        asyncio.get_running_loop().remove_reader(self.descriptor)
        asyncio.get_running_loop().remove_writer(self.descriptor)
        for waiting in (self.ended, self.answered):
            if waiting is not None and not waiting.done():
                waiting.set_exception(error)


class PostgresqlWakes(Wakes):
    def made(self) -> list[Link]:
        return [PostgresqlLink(self.urls[0], f"alviar__echo__{self.process}", self.heard, self.changed)]
