"""Deliveries a second to one conversation of 200 members, beside a bare broadcast server and a Channels chat.

    python -m benchmarks.fanout [--members 200] [--seconds 4] [--rounds 3]

One member sends as fast as its own messages come back (a window of them under way); raw-socket readers in a process of
their own count the messages that the members get. Servers and stores run on the first core, the load on the second.
Alviar is as in production (`make serve`, one server process, each message stored in PostgreSQL with fsync before it is
told), rates off. One of the peers stores as well, by the ORM; none asks for a sign-in.
"""

import argparse
import json
import multiprocessing
import os
import select
import statistics
import time
import uuid
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks import servers, wire

MARKER = b'"message.created"'
CONTENT = "Shall we meet at the station at half past seven, or is eight better for you and the children? "


class Counter:
    """Counts the marker in a stream that arrives in pieces."""

    def __init__(self) -> None:
        self.count, self.tail = 0, b""

    def take(self, data: bytearray, size: int) -> None:
        """Count in the first `size` bytes of a buffer that is used again and again."""
        edge = len(MARKER) - 1
        self.count += data.count(MARKER, 0, size) + (self.tail + data[: min(edge, size)]).count(MARKER)
        self.tail = bytes(data[size - edge : size]) if size >= edge else (self.tail + data[:size])[-edge:]


def read(port: int, tokens: list[str], pipe: Connection) -> None:
    """Hold a socket for each token and count; end when each has got as many as the pipe says."""
    poll, buffer = select.epoll(), bytearray(1 << 18)
    sockets = {}
    for token in tokens:
        opened = wire.open_socket(port, token)
        sockets[opened.fileno()] = (opened, Counter())
        poll.register(opened.fileno(), select.EPOLLIN)
    pipe.send("ready")
    expected, last = -1, 0.0
    deadline = time.perf_counter() + 120
    while time.perf_counter() < deadline:
        for number, _ in poll.poll(0.05):
            opened, counter = sockets[number]
            size = opened.recv_into(buffer)
            if not size:
                poll.unregister(number)
                continue
            counter.take(buffer, size)
            last = time.perf_counter()
        if expected < 0 and pipe.poll():
            expected = pipe.recv()
        if expected >= 0 and all(counter.count >= expected for _, counter in sockets.values()):
            break
    pipe.send((last, [counter.count for _, counter in sockets.values()]))


@dataclass(frozen=True)
class Figures:
    rate: float  # deliveries a second
    by_cpu: float  # and a second of the server process's own time
    p50: float  # ms from sending until the sender has its own message back
    p99: float


def measure(server: servers.Running, members: int, seconds: float, window: int) -> Figures:
    tokens = [person["access"] for person in server.people] or ["token"] * members
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.Process(target=read, args=(server.port, tokens[1:members], there), daemon=True)
    reader.start()
    own = wire.open_socket(server.port, tokens[0])
    own.setblocking(True)
    own.settimeout(60)
    if not here.poll(120):
        raise RuntimeError(f"{server.name}: the readers did not connect")
    here.recv()
    counter, sent, buffer = Counter(), 0, bytearray(1 << 18)
    under_way: deque[float] = deque()
    waits: list[float] = []
    began, busy_before = time.perf_counter(), servers.cpu_seconds(server.pid)
    while True:
        now = time.perf_counter()
        if now - began < seconds:
            frames = []
            while sent - counter.count < window:
                message = {
                    "type": "message",
                    "conversation_uuid": server.group,
                    "content": CONTENT,
                    "client_msg_id": str(uuid.uuid4()),
                }
                frames.append(wire.frame(json.dumps(message).encode()))
                under_way.append(now)
                sent += 1
            if frames:
                own.sendall(b"".join(frames))
        elif counter.count >= sent:
            break
        size = own.recv_into(buffer)
        if not size:
            raise RuntimeError(f"{server.name} closed the sender's socket")
        before = counter.count
        counter.take(buffer, size)
        arrived = time.perf_counter()
        waits += [arrived - under_way.popleft() for _ in range(counter.count - before)]
    here.send(sent)
    last, counts = here.recv()
    reader.join(5)
    own.close()
    if set(counts) != {sent} or counter.count != sent:
        raise RuntimeError(f"{server.name}: {sent} sent, members got {min(counts)} to {max(counts)}")
    busy = max(servers.cpu_seconds(server.pid) - busy_before, 0.01)
    marks = statistics.quantiles(waits, n=100) if len(waits) > 1 else waits * 99
    return Figures(sent * members / (last - began), sent * members / busy, marks[49] * 1000, marks[98] * 1000)


def window_of(server: servers.Running, members: int, window: int) -> int:
    """Return how many messages are under way: the chats of Channels would need half a minute to drain more."""
    return min(window, max(1, 3_200 // members)) if server.name.startswith("Channels") else window


def median(rounds: list[Figures]) -> Figures:
    fields = ("rate", "by_cpu", "p50", "p99")
    return Figures(*(statistics.median(getattr(one, field) for one in rounds) for field in fields))


def started(stack: ExitStack, members: int) -> list[servers.Running]:
    """Start Alviar with a group of `members`, and the peers."""
    with servers.on_serving_core():
        return [
            stack.enter_context(servers.alviar(people=members, group=members)),
            stack.enter_context(servers.bare_websockets()),
            stack.enter_context(servers.channels_chat()),
            stack.enter_context(servers.channels_postgresql()),
        ]


def compare(
    running: list[servers.Running], members: int, window: int, *, rounds: int, seconds: float
) -> dict[str, list[Figures]]:
    """Return the rounds of each server, which take turns."""
    results: dict[str, list[Figures]] = {server.name: [] for server in running}
    for _ in range(rounds):
        for server in running:
            results[server.name].append(measure(server, members, seconds, window_of(server, members, window)))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=128)
    options = parser.parse_args()
    with ExitStack() as stack:
        running = started(stack, options.members)
        compare(running, options.members, options.window, rounds=1, seconds=1)  # warm
        results = compare(running, options.members, options.window, rounds=options.rounds, seconds=options.seconds)
    found = {name: median(rounds) for name, rounds in results.items()}
    print(
        f"$ python -m benchmarks.fanout --members {options.members} --rounds {options.rounds} "
        f"--window {options.window}  ({os.cpu_count()} cores)"
    )
    print(f"{'':<22}{'deliveries/s':>13}{'messages/s':>12}{'deliveries/CPU s':>18}{'p50 ms':>9}{'p99 ms':>9}   rounds")
    for name, row in found.items():
        each = ", ".join(f"{one.rate:,.0f}" for one in results[name])
        print(
            f"{name:<22}{row.rate:>13,.0f}{row.rate / options.members:>12,.0f}{row.by_cpu:>18,.0f}"
            f"{row.p50:>9.1f}{row.p99:>9.1f}   {each}"
        )
    for name, row in found.items():
        if name != "Alviar":
            print(f"Alviar / {name}: {found['Alviar'].rate / row.rate:.2f}")


if __name__ == "__main__":
    main()
