"""Deliveries a second to one conversation of 200 members, beside a bare broadcast server and a Channels chat.

    python -m benchmarks.fanout [--members 200] [--seconds 4] [--rounds 3]

One member sends as fast as its own messages come back (a window of them under way); raw-socket readers in a process of
their own count the messages that the members get. Alviar is as in production (`make serve`, one server process, each
message stored in PostgreSQL with fsync before it is told), rates off. The peers store nothing and ask for no sign-in.
"""

import argparse
import json
import multiprocessing
import os
import select
import statistics
import time
import uuid
from contextlib import ExitStack
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


def measure(server: servers.Running, members: int, seconds: float, window: int) -> tuple[float, float]:
    """Return deliveries a second, and a second of the server process's own time."""
    tokens = [person["access"] for person in server.people] or ["token"] * members
    here, there = multiprocessing.Pipe()
    reader = multiprocessing.Process(target=read, args=(server.port, tokens[1:members], there), daemon=True)
    reader.start()
    own = wire.open_socket(server.port, tokens[0])
    own.setblocking(True)
    own.settimeout(20)
    assert here.poll(60), "the readers did not connect"
    here.recv()
    counter, sent, buffer = Counter(), 0, bytearray(1 << 18)
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
                sent += 1
            if frames:
                own.sendall(b"".join(frames))
        elif counter.count >= sent:
            break
        size = own.recv_into(buffer)
        if not size:
            raise RuntimeError(f"{server.name} closed the sender's socket")
        counter.take(buffer, size)
    here.send(sent)
    last, counts = here.recv()
    reader.join(5)
    own.close()
    if set(counts) != {sent} or counter.count != sent:
        raise RuntimeError(f"{server.name}: {sent} sent, members got {min(counts)} to {max(counts)}")
    busy = servers.cpu_seconds(server.pid) - busy_before
    return sent * members / (last - began), sent * members / busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=128)
    options = parser.parse_args()

    def window(server: servers.Running) -> int:
        # The slow one is as fast with fewer under way, and would need half a minute to drain more.
        return min(16, options.window) if server.name == "Channels chat" else options.window

    with ExitStack() as stack:
        running = [
            stack.enter_context(servers.alviar(people=options.members, group=options.members)),
            stack.enter_context(servers.bare_websockets()),
            stack.enter_context(servers.channels_chat()),
        ]
        results: dict[str, list[tuple[float, float]]] = {server.name: [] for server in running}
        for server in running:
            measure(server, options.members, 1, window(server))  # warm
        for _ in range(options.rounds):
            for server in running:
                results[server.name].append(measure(server, options.members, options.seconds, window(server)))
    median = {name: statistics.median(rate for rate, _ in rounds) for name, rounds in results.items()}
    print(
        f"$ python -m benchmarks.fanout --members {options.members} --rounds {options.rounds}  ({os.cpu_count()} cores)"
    )
    print(f"{'':<18}{'deliveries/s':>14}{'messages/s':>12}{'deliveries/CPU s':>18}   rounds")
    for name, rounds in results.items():
        by_cpu = statistics.median(rate for _, rate in rounds)
        each = ", ".join(f"{rate:,.0f}" for rate, _ in rounds)
        print(f"{name:<18}{median[name]:>14,.0f}{median[name] / options.members:>12,.0f}{by_cpu:>18,.0f}   {each}")
    print(f"Alviar / bare websockets: {median['Alviar'] / median['bare websockets']:.2f}")
    print(f"Alviar / Channels chat:   {median['Alviar'] / median['Channels chat']:.1f}")


if __name__ == "__main__":
    main()
