"""Break everything that can break while a hundred people chat, and count what arrives.

    make chaos          under four minutes
    make chaos-short    a minute, for CI

Real processes: `config.server serve` with two server processes and a task worker on a private PostgreSQL and Valkey,
and clients (`client.py`) that follow the contract. The last line tells

    sent / acknowledged / stored / received / duplicates / out of order / lost

- *acknowledged*: an `ack`, its own event, or REST's answer came back to the sender.
- *stored* is read from the database, *received* counts the messages that clients applied, of as many as they should.
- *duplicates*: a message stored or applied twice, or told twice by one socket outside a catch-up.
- *out of order*: a number of a conversation skipped or told backwards by one socket outside a catch-up.
- *lost*: sent and not stored, or stored and missing on a member's device once all is quiet.

The run fails unless the last three are 0.
"""

import argparse
import asyncio
import os
import random
import resource
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
from websockets.asyncio.client import ClientConnection, connect

from tests import live
from tests.chaos.client import OPEN_SECONDS, Account, Device, Link, Outgoing
from tests.chaos.proxy import Proxy
from tests.servers import NotAvailable, PostgreSQL, Valkey

PASSWORD = "correct horse 9 battery"
SETTLE_SECONDS = 120.0
LONG = "\N{GRINNING FACE}" * 3_900  # 15,600 bytes on the wire


@dataclass
class Ledger:
    """What everybody sent and saw."""

    phase: str = "set-up"
    sent: dict[str, tuple[float, str]] = field(default_factory=dict)  # client_msg_id: when, in which phase
    latencies: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sent_in: Counter[str] = field(default_factory=Counter)
    closes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    acked: dict[str, float] = field(default_factory=dict)  # client_msg_id: when
    repeated_on_wire: int = 0
    skipped_on_wire: int = 0
    applied_twice: int = 0
    gaps: int = 0
    resumes: int = 0
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if len(self.notes) < 40:
            self.notes.append(f"[{self.phase}] {text}")


class Witness(Device):
    """A device that writes down what it sees and checks every socket by itself."""

    def __init__(self, account: Account, ledger: Ledger, *, ws_base: str | None = None, small: bool = False) -> None:
        super().__init__(account, ws_base=ws_base)
        self.ledger, self.small = ledger, small
        self.messages: dict[str, dict[int, str]] = defaultdict(dict)  # conversation: seq: uuid
        self.wire: dict[Link, dict[str, int]] = {}
        self.catching_up: dict[Link, set[str]] = {}

    def applied(self, event: dict[str, Any]) -> None:
        if event["kind"] != "message.created":
            return
        mine, message = self.messages[event["conversation_uuid"]], event["data"]
        if event["seq"] in mine or message["uuid"] in mine.values():
            self.ledger.applied_twice += 1
            self.ledger.note(f"{self.account.username} applied {message['uuid']} twice")
        mine[event["seq"]] = message["uuid"]
        if sent := self.ledger.sent.get(message["client_msg_id"]):
            self.ledger.latencies[sent[1]].append(time.monotonic() - sent[0])

    def acknowledged(self, outgoing: Outgoing) -> None:
        self.ledger.acked[outgoing.client_msg_id] = time.monotonic()

    def reloaded(self, conversation_uuid: str, messages: list[dict[str, Any]], last_seq: int) -> None:
        self.ledger.gaps += 1
        # The newest page is what the contract asks for; older pages are read as if the person scrolled up.
        self._spawn(self._scroll_up(conversation_uuid, messages))

    async def _scroll_up(self, conversation: str, messages: list[dict[str, Any]]) -> None:
        mine = self.messages[conversation]
        known = max(mine, default=0)
        while messages:
            # Events younger than the gap may be on the page as well as on the socket: one entry in the list either way.
            for message in messages:
                if message["seq"] <= self.cursors[conversation]:
                    mine[message["seq"]] = message["uuid"]
            if messages[0]["seq"] <= known:
                return
            path = f"chat/conversations/{conversation}/messages/?before_seq={messages[0]['seq']}&limit=100"
            messages = (await self.account.call("GET", path))["results"]

    def resuming(self, link: Link, cursors: dict[str, int]) -> None:
        self.ledger.resumes += 1
        self.wire[link] = dict(cursors)

    def seen(self, link: Link, frame: dict[str, Any]) -> None:
        told = self.wire.setdefault(link, {})
        if frame["type"] == "gap":
            told[frame["conversation_uuid"]] = frame["last_seq"]
        if frame["type"] == "bye":
            self.ledger.closes[self.ledger.phase][f"bye {frame['close']}"] += 1
        if frame["type"] != "events":
            return
        for event in frame["events"]:
            conversation, seq = event["conversation_uuid"], event["seq"]
            last = told.get(conversation)
            asked = link.asked.get(conversation, 0) > time.monotonic()
            if last is not None and link.resumed.is_set() and not asked:
                if seq <= last:
                    self.ledger.repeated_on_wire += 1
                    self.ledger.note(f"{self.account.username}: {seq} after {last} on one socket")
                elif seq > last + 1:
                    self.ledger.skipped_on_wire += 1
                    self.ledger.note(f"{self.account.username}: {seq} after {last} on one socket, nothing between")
            told[conversation] = max(seq, last or 0)

    def ended(self, link: Link) -> None:
        self.wire.pop(link, None)
        self.ledger.closes[self.ledger.phase][str(link.code)] += 1

    async def _connect(self, token: str) -> ClientConnection:
        if not self.small:
            return await super()._connect(token)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        host, port = self.url.split("/")[2].split(":")
        await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
        return await connect(
            self.url,
            sock=raw,
            subprotocols=["access_token", token],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            max_size=None,
            max_queue=4,
        )


@dataclass
class World:
    """The servers, the people and the faults."""

    clients: int
    scale: float  # of the phases' lengths
    seed: int
    only: str = ""  # part of the names of the phases to run
    port: int = 0
    database_url: str = ""
    proxy: Proxy | None = None
    ledger: Ledger = field(default_factory=Ledger)
    devices: list[Witness] = field(default_factory=list)
    rooms: list[str] = field(default_factory=list)
    flood: str = ""
    members: dict[str, list[Witness]] = field(default_factory=dict)
    rooms_of: dict[Witness, list[str]] = field(default_factory=dict)
    sending: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- Start and end ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        async with AsyncExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alviar-chaos-")))
            self.http = await stack.enter_async_context(
                httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=60, max_keepalive_connections=40))
            )
            await self._start(stack)
            await self._people()
            talkers = [asyncio.create_task(self._talk(device)) for device in self.devices]
            try:
                for name, seconds, fault in self._phases():
                    await self._phase(name, seconds, fault)
                self.sending.clear()
                settled_in = await self._settle()
            finally:
                for task in talkers:
                    task.cancel()
            code = self._report(settled_in)
            await asyncio.gather(*(device.stop() for device in self.devices))
            if code:
                self._keep_logs()
            return code

    async def _start(self, stack: AsyncExitStack) -> None:
        self.flag = self.folder / "layer-faults"
        self.database, self.valkey = PostgreSQL(), Valkey()
        stack.callback(self.database.stop)
        stack.callback(self.valkey.stop)
        self.database.start()
        self.valkey.start()
        self.database_url = self.database.url
        try:
            await asyncio.to_thread(self._start_server)
        except AssertionError as error:
            sys.exit(str(error))
        stack.callback(self._stop_server)
        self.proxy = await stack.enter_async_context(Proxy(self.port))

    def _keep_logs(self) -> None:
        kept = Path(tempfile.gettempdir()) / "alviar-chaos-server.log"
        kept.write_bytes(self.server.log.read_bytes())
        print(f"the server's log: {kept}")

    def _start_server(self) -> None:
        environment = live.production(
            self.folder,
            database_url=self.database.url,
            redis_url=self.valkey.url,
            DJANGO_SETTINGS_MODULE="tests.chaos.settings",
            CHAOS_LAYER_FLAG=str(self.flag),
            # Above the default 20: the flood of the clients that stop reading comes from four sockets.
            CHAT_MESSAGES_PER_10S="120",
            # A phone's 25 s would make the half-open phase a minute long.
            CHAT_HEARTBEAT_MS="3000",
            CHAT_HEARTBEAT_TIMEOUT="12",
        )
        del environment["CHAT_FRAMES_PER_MINUTE"]
        self.server = live.start("serve", environment, self.folder / "server.log")
        self.port = self.server.port

    def _stop_server(self) -> None:
        live.end(self.server.process)

    def _workers(self) -> list[int]:
        workers: list[int] = self.server.processes().get("workers", [])
        return workers

    async def _people(self) -> None:
        """Sign everybody in and put them into ten small rooms, one large one and one for the flood."""
        half_open = max(2, self.clients // 10)
        self.stallers_count = max(2, self.clients // 20)

        async def person(number: int) -> Witness:
            name = f"person{number:03}"
            body = {
                "username": name,
                "email": f"{name}@example.com",
                "password": PASSWORD,
                "password_confirm": PASSWORD,
            }
            answer = await self.http.post(f"{self.base}/api/auth/register/", json=body)
            assert answer.status_code == 201, answer.text
            account = Account(self.base, name, PASSWORD, self.http)
            await account.login(device_fingerprint=name)
            through_proxy = f"ws://127.0.0.1:{self.proxy.port}" if self.proxy and number < half_open else None
            small = half_open <= number < half_open + self.stallers_count
            return Witness(account, self.ledger, ws_base=through_proxy, small=small)

        self.devices = []
        for start in range(0, self.clients, 10):
            self.devices += await asyncio.gather(
                *(person(number) for number in range(start, min(start + 10, self.clients)))
            )
        self.half_open = self.devices[:half_open]
        self.stallers = self.devices[half_open : half_open + self.stallers_count]
        shuffled = random.sample(self.devices, len(self.devices))
        small = [shuffled[place::10] for place in range(10)]
        large = shuffled[: len(shuffled) // 2]
        everybody_in_flood = self.stallers + [device for device in shuffled if device not in self.stallers][:4]
        for title, people in [
            *((f"Room {n}", room) for n, room in enumerate(small)),
            ("Large", large),
            ("Flood", everybody_in_flood),
        ]:
            body = {"kind": "group", "title": title, "user_ids": [device.account.user_id for device in people[1:]]}
            uuid = (await people[0].account.call("POST", "chat/conversations/", body))["uuid"]
            self.members[uuid] = people
            if title == "Flood":
                self.flood = uuid
            else:
                for device in people:
                    self.rooms_of.setdefault(device, []).append(uuid)
        for device in self.devices:
            device.start()
        deadline = time.monotonic() + 120
        while not all(device.link and device.link.resumed.is_set() for device in self.devices):
            if time.monotonic() > deadline:
                waiting = [device for device in self.devices if not (device.link and device.link.resumed.is_set())]
                why = waiting[0].stopped or waiting[0].failures or "no hello or resumed"
                self._keep_logs()
                sys.exit(f"{len(waiting)} of {self.clients} clients did not connect: {why}")
            await asyncio.sleep(0.1)
        self.sending.set()

    async def _talk(self, device: Witness) -> None:
        every = 2.5
        await asyncio.sleep(random.uniform(0, every))
        while True:
            await self.sending.wait()
            room = random.choice(self.rooms_of[device])
            self._say(device, room, f"{self.ledger.phase} {len(self.ledger.sent)}")
            if random.random() < 0.1 and room in device.cursors:
                await device.mark_as_seen(room)
            await asyncio.sleep(random.uniform(0.5, 1.5) * every)

    def _say(self, device: Witness, room: str, content: str) -> None:
        client_msg_id = device.say(room, content)
        self.ledger.sent[client_msg_id] = (time.monotonic(), self.ledger.phase)
        self.ledger.sent_in[self.ledger.phase] += 1

    # --- Faults -------------------------------------------------------------------------------------------------------

    def _phases(self) -> list[tuple[str, float, Callable[[], Awaitable[None]]]]:
        phases: list[tuple[str, float, Callable[[], Awaitable[None]]]] = [
            ("steady", 10, self._nothing),
            ("worker killed (-9)", 14, self._kill_worker),
            ("worker drained (TERM)", 14, self._drain_worker),
            ("Valkey killed, empty", 22, self._kill_valkey),
            ("subscriptions cut", 12, self._cut_subscriptions),
            ("PostgreSQL restarted", 14, self._restart_database),
            ("layer faulty (20 %)", 24, self._faulty_layer),
            ("tokens and sockets", 14, self._new_tokens),
            ("clients stop reading", 20, self._stop_reading),
            ("half-open", 16, self._half_open),
            ("all at once", 20, self._all_at_once),
        ]
        return [(name, seconds * self.scale, fault) for name, seconds, fault in phases if self.only in name]

    async def _phase(self, name: str, seconds: float, fault: Callable[[], Awaitable[None]]) -> None:
        self.ledger.phase = name
        began = time.monotonic()
        print(f"  {name} …", flush=True)
        self.seconds = seconds
        await fault()
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))

    async def _nothing(self) -> None:
        pass

    async def _signal_worker(self, number: signal.Signals) -> None:
        """Signal the server process that has served longest: those who were thrown off another are there."""
        await asyncio.sleep(1)
        os.kill(min(self._workers(), key=_started_at), number)

    async def _kill_worker(self) -> None:
        await self._signal_worker(signal.SIGKILL)

    async def _drain_worker(self) -> None:
        await self._signal_worker(signal.SIGTERM)

    async def _kill_valkey(self) -> None:
        await asyncio.to_thread(self.valkey.kill)
        await asyncio.sleep(self.seconds * 0.3)
        await asyncio.to_thread(self.valkey.start_empty)

    async def _cut_subscriptions(self) -> None:
        for _ in range(4):
            await asyncio.to_thread(self.valkey.cut_subscriptions)
            await asyncio.sleep(self.seconds / 5)

    async def _restart_database(self) -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(self.database.restart)

    async def _faulty_layer(self) -> None:
        self.flag.touch()
        await asyncio.sleep(self.seconds - 1)
        self.flag.unlink()

    async def _new_tokens(self) -> None:
        async def renew(number: int, device: Witness) -> None:
            await asyncio.sleep(random.uniform(0, self.seconds * 0.7))
            await (device.authenticate() if number % 3 == 0 else device.change_socket())

        await asyncio.gather(*(renew(number, device) for number, device in enumerate(self.devices)))

    async def _stop_reading(self) -> None:
        """Freeze some clients while a flood of long messages goes to them; half wake within the server's patience."""
        frozen = [device.link for device in self.stallers if device.link]
        for link in frozen:
            link.reading.clear()
        talkers = [device for device in self.members[self.flood] if device not in self.stallers]
        began, number = time.monotonic(), 0
        while (passed := time.monotonic() - began) < self.seconds * 0.8:
            for device in talkers:
                number += 1
                self._say(device, self.flood, f"{number} {LONG}")
            await asyncio.sleep(0.125)
            if passed > self.seconds * 0.6:
                for link in frozen[::2]:
                    link.reading.set()
        for link in frozen:
            link.reading.set()

    async def _half_open(self) -> None:
        await asyncio.sleep(1)
        assert self.proxy is not None
        self.proxy.freeze()

    async def _all_at_once(self) -> None:
        self.flag.touch()
        await self._signal_worker(signal.SIGKILL)
        await asyncio.to_thread(self.valkey.cut_subscriptions)
        assert self.proxy is not None
        self.proxy.freeze()
        await asyncio.gather(
            *(device.change_socket() for device in random.sample(self.devices, len(self.devices) // 5))
        )
        await asyncio.to_thread(self.database.restart)
        await asyncio.sleep(max(0.0, self.seconds * 0.3))
        self.flag.unlink()

    # --- The count ----------------------------------------------------------------------------------------------------

    def _connection(self) -> psycopg.Connection[Any]:
        """Connect, again while a balancer still changes to another primary."""
        began = time.monotonic()
        while True:
            try:
                return psycopg.connect(self.database_url)
            except psycopg.OperationalError:
                if time.monotonic() - began > SETTLE_SECONDS / 2:
                    raise
                time.sleep(0.25)

    def _heads(self) -> dict[str, int]:
        with self._connection() as connection:
            return {str(uuid): seq for uuid, seq in connection.execute("SELECT uuid, last_seq FROM chat_conversation")}

    async def _settle(self) -> float | None:
        """Wait until every outbox is empty and every device is at the head; return how long, None if never."""
        began = time.monotonic()
        self.ledger.phase = "settling"
        print("  settling …", flush=True)
        while time.monotonic() - began < SETTLE_SECONDS:
            heads = await asyncio.to_thread(self._heads)
            if not any(device.outbox for device in self.devices) and all(
                device.cursors.get(uuid) == heads[uuid] for uuid, people in self.members.items() for device in people
            ):
                await asyncio.sleep(1)  # whatever would come twice comes now
                return time.monotonic() - began
            await asyncio.sleep(0.25)
        return None

    def _report(self, settled_in: float | None) -> int:
        ledger = self.ledger
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT c.uuid, m.seq, m.uuid, m.client_msg_id, e.message_id IS NOT NULL FROM chat_message m"
                " JOIN chat_conversation c ON c.id = m.conversation_id LEFT JOIN chat_event e"
                " ON e.conversation_id = c.id AND e.seq = m.seq AND e.kind = 'message.created'"
            ).fetchall()
            holes = connection.execute(
                "SELECT count(*) FROM (SELECT c.last_seq, count(e.id) AS n FROM chat_conversation c"
                " LEFT JOIN chat_event e ON e.conversation_id = c.id GROUP BY c.id) x WHERE n <> last_seq"
            ).fetchone()[0]  # type: ignore[index]
        stored_ids = Counter(str(row[3]) for row in rows)
        stored_twice = sum(count - 1 for count in stored_ids.values())
        never_stored = [key for key in ledger.sent if key not in stored_ids]
        should: dict[str, dict[int, str]] = defaultdict(dict)
        for conversation, seq, uuid, _, _ in rows:
            should[str(conversation)][seq] = str(uuid)
        missing = strange = expected = received = 0
        for conversation, people in self.members.items():
            for device in people:
                mine = device.messages[conversation]
                expected += len(should[conversation])
                received += len(mine)
                lacks = [seq for seq, uuid in should[conversation].items() if mine.get(seq) != uuid]
                strange += sum(1 for seq, uuid in mine.items() if should[conversation].get(seq) != uuid)
                missing += len(lacks)
                if lacks:
                    ledger.note(
                        f"{device.account.username} lacks {len(lacks)} of {conversation}, first {lacks[:5]}, cursor"
                        f" {device.cursors.get(conversation)}, stopped: {device.stopped or 'no'}"
                    )
        for device in self.devices:
            for text in (*device.failures, *device.refused, *([device.stopped] if device.stopped else [])):
                ledger.note(f"{device.account.username}: {text}")
        duplicates = stored_twice + ledger.applied_twice + ledger.repeated_on_wire
        disorder = ledger.skipped_on_wire + strange + holes
        lost = len(never_stored) + missing
        unwell = sum(1 for device in self.devices if device.failures or device.refused or device.stopped)

        acked_in = Counter(ledger.sent[key][1] for key in ledger.acked)
        stored_in = Counter(phase for key, (_, phase) in ledger.sent.items() if key in stored_ids)
        heads = ("sent", "acked", "stored", "received", "p50 ms", "p99 ms", "max ms")
        print(f"\n{'phase':<24}" + "".join(f"{head:>9}" for head in heads) + "  closed")
        every: list[float] = []
        for phase, sent in ledger.sent_in.items():
            times = sorted(ledger.latencies[phase])
            every += times
            closes = ", ".join(f"{name}: {count}" for name, count in sorted(ledger.closes[phase].items()))
            counts = (sent, acked_in[phase], stored_in[phase], len(times))
            print(_line(phase, *counts, times) + f"  {closes}")
        every.sort()
        print(_line("total", len(ledger.sent), len(ledger.acked), len(rows), len(every), every))
        print(f"\nresumes {ledger.resumes}, gaps {ledger.gaps}, ", end="")
        print(f"settled in {settled_in:.1f} s" if settled_in is not None else f"NOT SETTLED in {SETTLE_SECONDS:g} s")
        for text in ledger.notes:
            print(f"  {text}")
        good = duplicates == disorder == lost == unwell == 0 and settled_in is not None
        print(
            f"sent {len(ledger.sent)} / acknowledged {len(ledger.acked)} / stored {len(rows)}"
            f" / received {received} of {expected} / duplicates {duplicates} / out of order {disorder} / lost {lost}"
        )
        print("PASSED" if good else "FAILED", f"(seed {self.seed})")
        return 0 if good else 1


def _started_at(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _line(phase: str, sent: int, acked: int, stored: int, received: int, times: list[float]) -> str:
    """Return a line of the table; `times` sorted."""
    counts = "".join(f"{count:>9}" for count in (sent, acked, stored, received))
    return f"{phase:<24}{counts}{_ms(times, 0.5)}{_ms(times, 0.99)}{_ms(times, 1)}"


def _ms(times: list[float], share: float) -> str:
    return f"{times[min(len(times) - 1, int(len(times) * share))] * 1000:>9.0f}" if times else f"{'-':>9}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="about a minute")
    parser.add_argument("--clients", type=int, default=0)
    parser.add_argument("--only", default="", help="the phases with this in their name")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    options = parser.parse_args()
    random.seed(options.seed)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = options.clients or (50 if options.short else 100)
    scale = 0.28 if options.short else 1.0
    world = World(clients=clients, scale=scale, seed=options.seed, only=options.only)
    print(f"{clients} clients, 2 server processes, PostgreSQL and Valkey, seed {options.seed}")
    try:
        return asyncio.run(world.run())
    except NotAvailable as error:
        sys.exit(f"cannot start the private servers: {error}")


if __name__ == "__main__":
    sys.exit(main())
