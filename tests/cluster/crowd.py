"""A crowd of sockets in one process: opened, kept, opened again with the back-off of the contract, and counted."""

import contextlib
import errno
import heapq
import json
import multiprocessing
import re
import resource
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from benchmarks import wire
from tests.chaos.client import OPEN_SECONDS, back_off

RAMP_SECONDS = 60.0  # over which the crowd comes at first


@dataclass
class Counts:
    """`answers`: how handshakes ended: 101 (`hello`), another HTTP status, the code of `error`, late or cut.

    `open_since`: monotonic, of the youngest socket. `resumed`: answers to `resume`.
    """

    open: int = 0
    resumed: int = 0
    delivered: int = 0
    open_since: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)


@dataclass(eq=False)
class _Socket:
    slot: int
    wire: socket.socket
    began: float
    said: bytes = b""
    is_open: bool = False


class _Crowd:
    def __init__(self, address: tuple[str, int], tokens: Sequence[str], ramp_s: float) -> None:
        self.address, self.tokens = address, tokens
        self.poll = select.epoll()
        self.sockets: dict[int, _Socket] = {}
        self.attempts = [0] * len(tokens)
        now = time.monotonic()
        self.due = [(now + ramp_s * slot / len(tokens), slot) for slot in range(len(tokens))]
        self.counts = Counts()
        self.looked_at = now

    def run(self, pipe: Connection) -> None:
        while True:
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                self._connect(heapq.heappop(self.due)[1])
            if now - self.looked_at > 1:
                self.looked_at = now
                for late in [
                    one for one in self.sockets.values() if not one.is_open and now - one.began > OPEN_SECONDS
                ]:
                    self._lost(late, "late")
            for number, _ in self.poll.poll(0.02):
                if one := self.sockets.get(number):
                    self._ready(one)
            if pipe.poll():
                match pipe.recv():
                    case "stop":
                        return
                    case "cut":
                        for one in list(self.sockets.values()):
                            self._lost(one)
                    case "count":
                        pipe.send(self.counts)

    def _connect(self, slot: int) -> None:
        new = socket.socket()
        new.setblocking(False)
        self.sockets[new.fileno()] = _Socket(slot, new, time.monotonic())
        if new.connect_ex(self.address) not in (0, errno.EINPROGRESS):
            self._lost(self.sockets[new.fileno()])
            return
        self.poll.register(new.fileno(), select.EPOLLOUT)

    def _ready(self, one: _Socket) -> None:
        try:
            if not one.said and not one.is_open and one.wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lost(one)
                return
            if one.said == b"" and not one.is_open:  # connected
                one.wire.sendall(wire.handshake_request(self.address[1], self.tokens[one.slot]))
                one.said = b" "
                self.poll.modify(one.wire.fileno(), select.EPOLLIN)
                return
            data = one.wire.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(one)
        elif one.is_open:
            self._heard(one, data)
        else:
            one.said += data
            if b'"hello"' in one.said:
                self._opened(one)

    def _opened(self, one: _Socket) -> None:
        one.is_open = True
        self.attempts[one.slot] = 0
        self.counts.open += 1
        self.counts.open_since = time.monotonic()
        self.counts.answers["101"] += 1
        epoch = re.search(rb'"epoch":"([^"]*)"', one.said)
        frame = {"type": "resume", "epoch": epoch[1].decode() if epoch else "", "cursors": {}}
        with contextlib.suppress(OSError):
            one.wire.sendall(wire.frame(json.dumps(frame).encode()))

    def _heard(self, one: _Socket, data: bytes) -> None:
        if data[:1] == b"\x89":
            with contextlib.suppress(OSError):
                one.wire.sendall(wire.frame(data[2 : 2 + data[1]], opcode=0xA))
        self.counts.delivered += data.count(b'"message.created"')
        self.counts.resumed += data.count(b'"resumed"')

    def _lost(self, one: _Socket, how: str = "cut") -> None:
        del self.sockets[one.wire.fileno()]
        one.wire.close()
        if one.is_open:
            self.counts.open -= 1
        else:
            said = re.search(rb'"code":"(\w+)"', one.said) or re.match(rb" HTTP/1\.1 (\d+)", one.said)
            self.counts.answers[said[1].decode() if said else how] += 1
        wait = back_off(self.attempts[one.slot])
        self.attempts[one.slot] += 1
        heapq.heappush(self.due, (time.monotonic() + wait, one.slot))


def _run(address: tuple[str, int], tokens: Sequence[str], ramp_s: float, pipe: Connection) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _Crowd(address, tokens, ramp_s).run(pipe)


class Crowds:
    """Several processes of a crowd: the descriptors of one do not suffice."""

    def __init__(
        self, address: tuple[str, int], tokens: Sequence[str], processes: int, *, ramp_s: float = RAMP_SECONDS
    ) -> None:
        self.pipes: list[Any] = []
        self.processes = []
        for place in range(processes):
            here, there = multiprocessing.Pipe()
            process = multiprocessing.Process(
                target=_run, args=(address, tokens[place::processes], ramp_s, there), daemon=True
            )
            process.start()
            self.pipes.append(here)
            self.processes.append(process)

    def counts(self) -> Counts:
        for pipe in self.pipes:
            pipe.send("count")
        found = [pipe.recv() for pipe in self.pipes]
        return Counts(
            sum(one.open for one in found),
            sum(one.resumed for one in found),
            sum(one.delivered for one in found),
            max(one.open_since for one in found),
            sum((one.answers for one in found), Counter()),
        )

    def wait(self, count: int, *, within_s: float) -> Counts:
        """Return once so many are open. Raises AssertionError."""
        deadline = time.monotonic() + within_s
        while (found := self.counts()).open < count:
            assert time.monotonic() < deadline, f"{found.open} of {count} open after {within_s:g} s: {found.answers}"
            time.sleep(0.2)
        return found

    def cut(self) -> None:
        """Drop every socket at once; each comes back with its back-off."""
        for pipe in self.pipes:
            pipe.send("cut")

    def stop(self) -> None:
        for pipe in self.pipes:
            pipe.send("stop")
        for process in self.processes:
            process.join(10)
