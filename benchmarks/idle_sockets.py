"""Memory of an idle socket at 5,000 of them, and how many connect in a second, beside the peers.

    python -m benchmarks.idle_sockets [--sockets 5000]

Alviar checks the token of each (signature, session, person), counts it towards presence and limits, and says `hello`;
the peers check nothing. Memory is what the server process has to itself, after less before, divided by the sockets;
the kernel's part of a socket is not in it.
"""

import argparse
import multiprocessing
import os
import resource
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks import servers, wire

UNDER_WAY = 64  # connects at the same time
PER_PERSON = 2  # each with one session: within the limits of production


def connect(port: int, tokens: list[str], pipe: Connection) -> None:
    """Open a socket for each token, hold all of them and answer pings until told to stop."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    poll = select.epoll()
    waiting: dict[int, tuple[socket.socket, bytes]] = {}
    open_: dict[int, socket.socket] = {}
    todo = list(reversed(tokens))
    refused = 0
    began = time.perf_counter()
    while todo or waiting:
        while todo and len(waiting) < UNDER_WAY:
            new = socket.create_connection(("127.0.0.1", port), 20)
            new.sendall(wire.handshake_request(port, todo.pop()))
            new.setblocking(False)
            waiting[new.fileno()] = (new, b"")
            poll.register(new.fileno(), select.EPOLLIN)
        for number, _ in poll.poll(10):
            if number in open_:
                answer_ping(open_[number])
                continue
            new, before = waiting[number]
            data = new.recv(65_536)
            if b'"hello"' in before + data:
                open_[number] = new
                del waiting[number]
            elif not data:
                refused += 1
                poll.unregister(number)
                new.close()
                del waiting[number]
            else:
                waiting[number] = (new, before + data)
    pipe.send((len(open_), refused, time.perf_counter() - began))
    closed = 0
    while not pipe.poll():
        for number, _ in poll.poll(0.1):
            if not answer_ping(open_[number]):
                closed += 1
                poll.unregister(number)
    pipe.send(closed)


def answer_ping(opened: socket.socket) -> bool:
    """Read a frame of an idle socket (they come one by one) and answer the protocol's ping; False at its end."""
    data = opened.recv(65_536)
    if data[:1] == b"\x89":
        opened.sendall(wire.frame(data[2 : 2 + data[1]], opcode=0xA))
    return bool(data)


@dataclass(frozen=True)
class Figures:
    kib: float  # for each socket
    rate: float  # connects a second
    by_cpu: float  # and a second of the server process's own time
    cores: float  # used by the server process while nothing is sent


def measure(server: servers.Running, tokens: list[str], *, idle_s: float = 10) -> Figures:
    warm = wire.open_socket(server.port, tokens[0])  # what the first one loads is not the sockets'
    time.sleep(1)
    before = servers.resident_kib(server.pid)
    here, there = multiprocessing.Pipe()
    client = multiprocessing.Process(target=connect, args=(server.port, tokens, there), daemon=True)
    busy_before = servers.cpu_seconds(server.pid)
    client.start()
    if not here.poll(180):
        raise RuntimeError(f"{server.name}: the sockets did not open within three minutes")
    opened, refused, seconds = here.recv()
    busy = max(servers.cpu_seconds(server.pid) - busy_before, 0.01)
    time.sleep(3)
    idle_before, idle_began = servers.cpu_seconds(server.pid), time.perf_counter()
    time.sleep(idle_s)
    cores = (servers.cpu_seconds(server.pid) - idle_before) / (time.perf_counter() - idle_began)
    after = servers.resident_kib(server.pid)
    here.send("stop")
    closed = here.recv()
    client.join(10)
    warm.close()
    if refused or closed or opened != len(tokens):
        raise RuntimeError(f"{server.name}: {opened} of {len(tokens)} opened, {refused} refused, {closed} closed")
    return Figures((after - before) / opened, opened / seconds, opened / busy, cores)


def compare(sockets: int, *, idle_s: float = 10) -> dict[str, Figures]:
    """Return the figures of Alviar and its peers, measured one after the other."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # also for the servers
    people = sockets // PER_PERSON
    results = {}
    for start in (lambda: servers.alviar(people=people), servers.bare_websockets, servers.channels_chat):
        with ExitStack() as stack:
            with servers.on_serving_core():
                server = stack.enter_context(start())
            tokens = [person["access"] for person in server.people] * PER_PERSON or ["token"] * sockets
            results[server.name] = measure(server, tokens, idle_s=idle_s)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=5_000)
    options = parser.parse_args()
    results = compare(options.sockets)
    print(f"$ python -m benchmarks.idle_sockets --sockets {options.sockets}  ({os.cpu_count()} cores)")
    print(f"{'':<18}{'KiB a socket':>14}{'connects/s':>12}{'connects/CPU s':>16}{'cores idle':>12}")
    for name, row in results.items():
        print(f"{name:<18}{row.kib:>14.1f}{row.rate:>12,.0f}{row.by_cpu:>16,.0f}{row.cores:>12.3f}")
    ours = results.pop("Alviar")
    for name, row in results.items():
        print(f"Alviar / {name}: memory {ours.kib / row.kib:.2f}, connects {ours.rate / row.rate:.2f}")


if __name__ == "__main__":
    main()
