"""Engines of three hosts each, every one of which can be killed, hung and cut off: NATS, a Valkey cluster, Sentinel."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import live
from tests.cluster.network import Host
from tests.cluster.nodes import NATS_PORT, REDIS_PORT, spawn, valkey_binary
from tests.servers import NotAvailable

NODE_TIMEOUT_MS = 1_500
SENTINEL_PORT = 6_479
Command = tuple[str, ...]


class Store:
    """An engine on the hosts of the cluster. `settings` names it to the application."""

    name = ""

    def __init__(self, hosts: Sequence[Host], folder: Path) -> None:
        self.hosts, self.folder = hosts, folder
        self.processes: dict[str, list[subprocess.Popen[bytes]]] = {}

    @property
    def settings(self) -> dict[str, str]:
        raise NotImplementedError

    def commands(self, host: Host) -> list[Command]:
        """Return what runs on the host."""
        raise NotImplementedError

    def start(self) -> None:
        for host in self.hosts:
            self.start_on(host)

    def start_on(self, host: Host) -> None:
        log = self.folder / f"{host.name}.log"
        self.processes[host.name] = [spawn(host, *command, log=log, cwd=self.folder) for command in self.commands(host)]

    def kill(self, host: Host) -> None:
        host.kill()
        for process in self.processes[host.name]:
            process.wait()

    def heal(self) -> None:
        """Wait until all is as at first."""


class Nats(Store):
    """Three servers, each of which a process may be connected to."""

    name = "NATS"

    @property
    def settings(self) -> dict[str, str]:
        return {"WAKES_URL": ",".join(f"nats://{host.address}:{NATS_PORT}" for host in self.hosts)}

    def commands(self, host: Host) -> list[Command]:
        binary = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if binary is None:
            raise NotAvailable("no nats-server (requirements-dev.txt)")
        routes = ",".join(f"nats://{other.address}:{NATS_PORT + 1}" for other in self.hosts if other is not host)
        here = ("-a", host.address, "-p", str(NATS_PORT), "--cluster", f"nats://{host.address}:{NATS_PORT + 1}")
        return [(binary, *here, "--cluster_name", "alviar", "--routes", routes)]


class Valkeys(Store):
    """Several Valkeys."""

    def valkey(self, host: Host, port: int, *options: str) -> Command:
        folder = self.folder / f"{host.name}-{port}"
        folder.mkdir(exist_ok=True)
        where = ("--port", str(port), "--dir", str(folder), "--save", "", "--protected-mode", "no")
        return (valkey_binary(), *where, "--repl-diskless-sync-delay", "0", *options)

    @staticmethod
    def ask(host: Host, port: int, *words: Any) -> Any:
        import redis

        with redis.Redis(host=host.address, port=port, socket_timeout=5, decode_responses=True, protocol=2) as client:
            return client.execute_command(*words)

    @staticmethod
    def until(holds: Any) -> None:
        """Wait, whatever is not there yet."""
        import redis

        def tried() -> Any:
            try:
                return holds()
            except (redis.RedisError, OSError):
                return False

        live.wait_until(tried)


class ValkeyCluster(Valkeys):
    """A primary on each host, and the replica of the one before."""

    name = "cluster"
    ports = (REDIS_PORT, REDIS_PORT + 1)

    @property
    def settings(self) -> dict[str, str]:
        return {"REDIS_URL": "redis+cluster://" + ",".join(f"{host.address}:{REDIS_PORT}" for host in self.hosts)}

    def commands(self, host: Host) -> list[Command]:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS))
        more = (*options, "--cluster-require-full-coverage", "no")
        return [self.valkey(host, port, *more, "--cluster-port", str(port + 1_000)) for port in self.ports]

    def start(self) -> None:
        super().start()
        nodes = [(host, port) for host in self.hosts for port in self.ports]
        for node in nodes:
            self.until(lambda node=node: self.ask(*node, "PING"))
        count = len(self.hosts)
        for number, host in enumerate(self.hosts):
            slots = 16_384 * number // count, 16_384 * (number + 1) // count - 1
            self.ask(host, REDIS_PORT, "CLUSTER", "ADDSLOTSRANGE", *slots)
            self.ask(host, REDIS_PORT, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for host, port in nodes[1:]:
            self.ask(*nodes[0], "CLUSTER", "MEET", host.address, port, port + 1_000)
        self.until(lambda: all(f"known_nodes:{len(nodes)}" in self.ask(*node, "CLUSTER", "INFO") for node in nodes))
        for before, host in zip(self.hosts, [*self.hosts[1:], self.hosts[0]], strict=True):
            primary = self.ask(before, REDIS_PORT, "CLUSTER", "MYID")
            self.until(
                lambda host=host, primary=primary: self.ask(host, self.ports[1], "CLUSTER", "REPLICATE", primary)
            )
        self.heal()

    def heal(self) -> None:
        """Let each host have its own primary again: a host with two takes the majority away when it goes."""
        nodes = [(host, port) for host in self.hosts for port in self.ports]
        self.until(lambda: all("cluster_state:ok" in self.ask(*node, "CLUSTER", "INFO") for node in nodes))
        self.until(self._is_shared_out)
        self.until(lambda: all(self._sees_all(*node) for node in nodes))

    def _is_shared_out(self) -> bool:
        roles = [self.ask(host, REDIS_PORT, "ROLE") for host in self.hosts]
        for host, role in zip(self.hosts, roles, strict=True):
            if role[0] == "slave" and role[3] == "connected":
                self.ask(host, REDIS_PORT, "CLUSTER", "FAILOVER")
        replicas = [self.ask(host, self.ports[1], "ROLE") for host in self.hosts]
        return all(role[0] == "master" for role in roles) and all(
            role[0] == "slave" and role[3] == "connected" for role in replicas
        )

    def _sees_all(self, host: Host, port: int) -> bool:
        return sorted(len(found) for found in self.ask(host, port, "CLUSTER", "SLOTS")) == [4] * len(self.hosts)


class Sentinel(Valkeys):
    """A master on the first host, its replica on the second, a Sentinel on each."""

    name = "Sentinel"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "REDIS_URL": "redis+sentinel://"
            + ",".join(f"{host.address}:{SENTINEL_PORT}" for host in self.hosts)
            + "/mymaster"
        }

    def commands(self, host: Host) -> list[Command]:
        first, second, _ = self.hosts
        folder = self.folder / f"{host.name}-sentinel"
        file = folder / "sentinel.conf"  # the Sentinel keeps in it what it learns
        if not folder.exists():
            folder.mkdir()
            file.write_text(
                f"port {SENTINEL_PORT}\nprotected-mode no\ndir {folder}\n"
                f"sentinel monitor mymaster {first.address} {REDIS_PORT} 2\n"
                f"sentinel down-after-milliseconds mymaster {NODE_TIMEOUT_MS}\n"
                "sentinel failover-timeout mymaster 3000\n"
            )
        found = [(valkey_binary(), str(file), "--sentinel")]
        if host is first:
            found.insert(0, self.valkey(host, REDIS_PORT))
        elif host is second:
            found.insert(0, self.valkey(host, REDIS_PORT, "--replicaof", f"{first.address} {REDIS_PORT}"))
        return found

    def start(self) -> None:
        super().start()
        self.heal()

    def heal(self) -> None:
        """Wait until the Sentinels agree and the replica follows, with the master on the first host again."""
        for _ in range(2):
            self.until(self._agree)
            self.until(self._is_in_step)
            self.until(self._is_at_first)

    def _is_at_first(self) -> bool:
        first = self.hosts[0]
        if self._known(first)["ip"] == first.address:
            return True
        self.ask(first, SENTINEL_PORT, "SENTINEL", "FAILOVER", "mymaster")
        return False

    def _agree(self) -> bool:
        known = [self._known(host) for host in self.hosts]
        return len({one["ip"] for one in known}) == 1 and all(
            (one["num-other-sentinels"], one["num-slaves"], one["flags"]) == ("2", "1", "master") for one in known
        )

    def _known(self, host: Host) -> dict[str, str]:
        found = self.ask(host, SENTINEL_PORT, "SENTINEL", "MASTERS")[0]
        return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))

    def _is_in_step(self) -> bool:
        roles = [self.ask(host, REDIS_PORT, "ROLE") for host in self.hosts[:2]]
        in_step = [role for role in roles if role[0] == "slave" and role[3] == "connected"]
        return sorted(role[0] for role in roles) == ["master", "slave"] and len(in_step) == 1


STORES: dict[str, type[Store]] = {"nats": Nats, "cluster": ValkeyCluster, "sentinel": Sentinel}
