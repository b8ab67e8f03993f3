"""PostgreSQL as it stands in production, with the sample configurations of `deploy/`.

`pgbouncer`: a pooler before it. `Pair`: a primary with a standby. `haproxy`: the way to whichever takes writes.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.servers import NotAvailable, PostgreSQL, free_port

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
START_SECONDS = 240


def program(name: str, package: str) -> str:
    """Return the path of a program. Raises NotAvailable."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise NotAvailable(f"no {name} (Debian: apt-get install {package})")
    return found


def sample(name: str, *changes: tuple[str, str]) -> str:
    """Return a file of `deploy/` with this machine's ports and names; every change must have something to change."""
    text = (DEPLOY / name).read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


class Daemon:
    """A program that stays in the foreground and listens on `port`."""

    def __init__(self, command: list[str], folder: Path, port: int) -> None:
        self.port, self.log = port, folder / "log"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.process.args} did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def pgbouncer(url: str, folder: Path, *, pool_size: int = 20) -> Iterator[str]:
    """Start a PgBouncer in transaction mode before the database of `url` and yield its URL. Raises NotAvailable."""
    binary, parts, port = program("pgbouncer", "pgbouncer"), urlsplit(url), free_port()
    users = folder / "userlist.txt"
    users.write_text(f'"{parts.username}" ""\n')
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        sample(
            "pgbouncer.ini",
            ("host=127.0.0.1 port=5432", f"host=127.0.0.1 port={parts.port}"),
            ("\nalviar =", f"\n{parts.path[1:]} ="),
            ("dbname=alviar", f"dbname={parts.path[1:]}"),
            ("listen_port = 6432", f"listen_port = {port}"),
            ("auth_type = scram-sha-256", "auth_type = trust"),
            ("/etc/pgbouncer/userlist.txt", str(users)),
            ("default_pool_size = 20", f"default_pool_size = {pool_size}"),
        )
        + "unix_socket_dir =\n"
    )
    command = [binary, str(configuration)]
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        folder.chmod(0o755)
        command = ["runuser", "-u", "postgres", "--", *command]
    daemon = Daemon(command, folder, port)
    try:
        daemon.wait()
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
    finally:
        daemon.stop()


class Primary(PostgreSQL):
    """A PostgreSQL that a standby may follow."""

    def __init__(self) -> None:
        super().__init__(fsync=False)
        self.options = self.options.replace("synchronous_commit=off", "synchronous_commit=on")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def wait_for(self, statement: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.ask(statement) != [(True,)]:
            assert time.monotonic() < deadline, statement
            time.sleep(0.05)

    def wait_for_standby_at_commits(self) -> None:
        """Acknowledge no commit from now on before the standby has it."""
        self.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.ask("SELECT pg_reload_conf()")
        self.wait_for("SELECT sync_state = 'sync' FROM pg_stat_replication")

    def kill(self) -> None:
        """End every process of the server by SIGKILL, as a power cut would."""
        for pid in (self._postmaster(), *self._backends()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def come_back_as_standby(self) -> None:
        """Start with the data of before, which nobody updates."""
        subprocess.run([*self.as_postgres, "touch", str(self.data / "standby.signal")], check=True)
        self.come_back_as_it_was()

    def come_back_as_it_was(self) -> None:
        """Start with the data and the role of before, as a service manager would."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self.go_on()


class Standby(Primary):
    """A copy of a primary that follows it under the name `standby`."""

    def __init__(self, primary: Primary) -> None:
        super().__init__()
        self.primary = primary

    def start(self) -> None:
        where = f"host=127.0.0.1 port={self.primary.port} user=postgres application_name=standby"
        self._run("pg_basebackup", "-d", where, "-D", str(self.data), "-R", "-X", "stream", "-c", "fast", "--no-sync")
        self._ctl("start", "-o", self.options)

    def promote(self) -> None:
        self._ctl("promote")


@contextmanager
def pair(template: str) -> Iterator[tuple[Primary, Standby]]:
    """Start a primary with the tables of the database `template`, and its standby. Raises NotAvailable."""
    primary = Primary()
    standby = Standby(primary)
    try:
        primary.start()
        dump = str(primary.folder / "template")
        primary._run("pg_dump", "--format=custom", f"--file={dump}", template)
        primary._run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={primary.url}", dump)
        primary.ask("CREATE ROLE haproxy LOGIN")
        standby.start()
        primary.wait_for("SELECT true FROM pg_stat_replication WHERE state = 'streaming'")
        yield primary, standby
    finally:
        standby.stop()
        primary.stop()


class Way:
    """A HAProxy before two servers, and beside it the program that says which of them may be written to."""

    def __init__(self, one: PostgreSQL, two: PostgreSQL, folder: Path) -> None:
        self.binary, self.port, self.check_port = program("haproxy", "haproxy"), free_port(), free_port()
        self.folder, self.url = folder, f"postgresql://postgres@127.0.0.1:{self.port}/alviar"
        self.state = folder / "newest.json"
        self.servers = [
            f"{name}=postgresql://haproxy@127.0.0.1:{server.port}/postgres"
            for name, server in (("one", one), ("two", two))
        ]
        (folder / "haproxy.cfg").write_text(
            sample(
                "haproxy.cfg",
                ("127.0.0.1:5000", f"127.0.0.1:{self.port}"),
                ("10.0.0.1:5432", f"127.0.0.1:{one.port}"),
                ("10.0.0.2:5432", f"127.0.0.1:{two.port}"),
                ("port 8008 inter", f"port {self.check_port} inter"),
            )
        )

    def start(self) -> None:
        self.check = self._check()
        self.haproxy = Daemon([self.binary, "-db", "-f", "haproxy.cfg"], self.folder, self.port)
        self.haproxy.wait()
        self.wait_for(lambda known: known["primary"])

    def _check(self) -> Daemon:
        command = [sys.executable, str(DEPLOY / "primary.py"), "--listen", f"127.0.0.1:{self.check_port}"]
        folder = self.folder / "check"
        folder.mkdir(exist_ok=True)
        daemon = Daemon([*command, "--state", str(self.state), *self.servers], folder, self.check_port)
        daemon.wait()
        return daemon

    def restart_check(self) -> None:
        self.check.stop()
        self.check = self._check()

    def known(self, path: str = "/") -> tuple[int, dict[str, Any]]:
        """Return what the check answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.check_port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def wait_for(self, holds: Callable[[dict[str, Any]], Any]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds(self.known()[1]):
            assert time.monotonic() < deadline, self.known()
            time.sleep(0.05)

    def stop(self) -> None:
        self.haproxy.stop()
        self.check.stop()


@contextmanager
def haproxy(one: PostgreSQL, two: PostgreSQL, folder: Path) -> Iterator[Way]:
    """Start a HAProxy before two servers, which leads to whichever takes writes. Raises NotAvailable."""
    way = Way(one, two, folder)
    try:
        way.start()
        yield way
    finally:
        way.stop()
