"""Start what is measured: Alviar as `make serve` runs it, and its peers, each with stores of their own."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import live
from tests.servers import PostgreSQL, Valkey, free_port

ROOT = Path(__file__).resolve().parents[1]
UVICORN = [
    "--ws",
    "websockets-sansio",
    "--ws-per-message-deflate",
    "false",
    "--log-level",
    "warning",
    "--no-access-log",
    # The readers answer no protocol pings; a chat that takes long to deliver would close them.
    "--ws-ping-interval",
    "86400",
]


SERVING = {0}  # cores
LOADING = {1} if (os.cpu_count() or 1) > 1 else {0}


@contextmanager
def on_serving_core() -> Iterator[None]:
    """Start servers on the first core (children inherit where this process may run); afterwards, load the second."""
    os.sched_setaffinity(0, SERVING)
    try:
        yield
    finally:
        os.sched_setaffinity(0, LOADING)


@dataclass
class Running:
    name: str
    port: int
    pid: int  # of the one process that serves
    people: list[dict[str, str]]
    group: str = ""


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    sys.exit(f"{process.args} did not start:\n{log.read_text()[-3_000:]}")


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL that keeps what it promises (fsync on)."""
    server = PostgreSQL(fsync=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def alviar(*, people: int, group: int = 0, sessions: int = 1, **extra: str) -> Iterator[Running]:
    """Alviar in production mode with one server process, on PostgreSQL and Valkey; all rates off."""
    from config.rates import RATES

    valkey = Valkey()
    with postgresql() as database, tempfile.TemporaryDirectory(prefix="alviar-bench-") as folder:
        try:
            valkey.start()
            environment = live.production(
                Path(folder),
                database_url=database.url,
                redis_url=valkey.url,
                WORKERS="1",
                **{f"RATE_{name.upper()}": "0" for name in RATES},
                **extra,
            )
            for name in ("ARGON2_MEMORY_KIB", "ARGON2_TIME_COST"):
                if name not in extra:
                    del environment[name]  # passwords cost what they cost
            server = live.start("serve", environment, Path(folder) / "server.log")
            try:
                made = subprocess.run(
                    [sys.executable, "-m", "benchmarks.people", str(people), str(group), str(sessions)],
                    cwd=ROOT,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if made.returncode:
                    sys.exit(made.stderr[-3_000:])
                found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
                yield Running("Alviar", server.port, server.processes()["workers"][0], found["people"], found["group"])
            finally:
                live.end(server.process)
        finally:
            valkey.stop()


@contextmanager
def peer(name: str, command: list[str], *, port: int, **extra: str) -> Iterator[Running]:
    """A peer that needs no store, or has it in `extra`."""
    with tempfile.TemporaryDirectory(prefix="alviar-bench-") as folder:
        log = Path(folder) / "peer.log"
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **extra},
            stdin=subprocess.DEVNULL,
            stdout=log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for_port(port, process, log)
            yield Running(name, port, process.pid, [])
        finally:
            live.end(process)


@contextmanager
def django_peer(
    name: str,
    module: str,
    *,
    database_url: str = "",
    gunicorn: bool = False,
    people: tuple[int, int] = (0, 0),
    **extra: str,
) -> Iterator[Running]:
    """A peer of `peers/` that is a Django project, on uvicorn or gunicorn; with a database, `people` are made first."""
    environment = {"DATABASE_URL": database_url, **extra}
    made: list[dict[str, str]] = []
    if database_url:
        script = f"import json; import benchmarks.peers.{module} as peer; print(json.dumps(peer.make_people{people}))"
        ran = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            sys.exit(ran.stderr[-3_000:])
        made = json.loads(ran.stdout.splitlines()[-1])
    port = free_port()
    if gunicorn:
        command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8"]
        command += ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", f"benchmarks.peers.{module}:wsgi"]
    else:
        command = [sys.executable, "-m", "uvicorn", f"benchmarks.peers.{module}:application"]
        command += ["--port", str(port), "--lifespan", "off", *UVICORN]
    with peer(name, command, port=port, **environment) as running:
        running.people = made
        yield running


@contextmanager
def bare_websockets() -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.bare_websockets", str(port)]
    with peer("bare websockets", command, port=port) as running:
        yield running


@contextmanager
def channels_chat() -> Iterator[Running]:
    with django_peer("Channels chat", "channels_chat") as running:
        yield running


@contextmanager
def channels_postgresql() -> Iterator[Running]:
    """The same chat with a table of messages, on a PostgreSQL of its own."""
    with (
        postgresql() as database,
        django_peer("Channels + PostgreSQL", "channels_chat", database_url=database.url) as running,
    ):
        yield running


def resident_kib(pid: int) -> int:
    """Return the memory of a process that nobody else holds, in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def cpu_seconds(pid: int) -> float:
    """Return the time that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_all(pid: int) -> float:
    """Return the time that a process and its children have computed (gunicorn serves in a child)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(cpu_seconds(int(child)) for child in children)
