"""What stands around PostgreSQL in production, with the sample configurations of `deploy/`: a pooler in front of it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import NotAvailable, free_port

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
START_SECONDS = 60


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
            self.process.wait(10)
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
