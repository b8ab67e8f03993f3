"""The parent process of `serve`: keeps the listening socket and supervises the processes. Does not load Django.

    bind -> prepare (settings, stores, migrations, static files) -> WORKERS servers and one task worker
    SIGHUP  prepare again, then replace the processes one by one; if that fails the old ones continue
    SIGTERM stop all of them together
A process that dies is restarted. Processes are configured by environment variables: the socket
(`ALVIAR_LISTEN_FD`), the metrics' socket, the process's name in the metrics, and how to report readiness.
"""

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from config.announce import Announcer

BASE_DIR = Path(__file__).resolve().parent.parent
# Delay before a process that died is restarted, doubled up to the maximum; reset after a minute without failure.
RESTART_SECONDS, RESTART_SECONDS_MAX, GOOD_SECONDS = 0.5, 30.0, 60.0
READY_SECONDS = 60.0  # a replacement that is not ready by then has failed
LISTEN_BACKLOG = 65_535  # the kernel takes at most net.core.somaxconn, 4,096 by default
DONE = object()


def stop(text: str) -> NoReturn:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
    raise SystemExit(1)


def die_with_parent() -> None:
    """Ask Linux to send SIGTERM when the parent exits for any reason (no-op elsewhere)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    parent = os.environ.get("ALVIAR_PARENT")
    if parent and os.getppid() != int(parent):  # the parent exited before the call
        raise SystemExit(1)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket: systemd's (LISTEN_FDS) or a new one."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and int(os.environ.get("LISTEN_FDS", "0")) >= 1:
        return _listening(socket.socket(fileno=3))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        return _listening(listener)
    except OSError as error:
        listener.close()
        stop(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Another PORT or HOST in the environment helps."
        )


def _listening(listener: socket.socket) -> socket.socket:
    listener.listen(LISTEN_BACKLOG)
    listener.setblocking(False)
    return listener


def inherited(name: str) -> socket.socket | None:
    """Return the socket that the parent passed in the environment variable `name`."""
    number = os.environ.get(name)
    return socket.socket(fileno=int(number)) if number else None


def say_ready() -> None:
    """Report to the parent, if there is one, that this process is ready."""
    number = os.environ.pop("ALVIAR_READY_FD", "")
    if number:
        with suppress(OSError):
            os.write(int(number), b"ready")
            os.close(int(number))


class Process:
    """One running child process."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], sockets: list[int]) -> None:
        self.name = name
        self.ready_fd, theirs = os.pipe()
        os.set_blocking(self.ready_fd, False)
        environment = {**environment, "ALVIAR_READY_FD": str(theirs), "ALVIAR_PARENT": str(os.getpid())}
        try:
            # A separate session: Ctrl-C reaches only the parent, which then stops its children in order.
            self.popen = subprocess.Popen(
                command,
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs, *sockets),
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        self.started_at = time.monotonic()
        self.is_ready = False
        self.ended: int | None = None

    @property
    def pid(self) -> int:
        return self.popen.pid

    def look(self) -> None:
        """Update its state: ready or exited."""
        if self.ready_fd >= 0:
            with suppress(BlockingIOError):
                self.is_ready = bool(os.read(self.ready_fd, 16)) or self.is_ready
                os.close(self.ready_fd)
                self.ready_fd = -1
        if self.ended is None:
            self.ended = self.popen.poll()

    def send(self, signum: int) -> None:
        if self.ended is None:
            self.popen.send_signal(signum)


class Slot:
    """A slot for one supervised process, and for its replacement while both run."""

    def __init__(self, name: str, label: str, make: Callable[[str], Process]) -> None:
        self.name, self.label, self.make = name, label, make
        self.current: Process | None = None
        self.back_off, self.start_at = RESTART_SECONDS, 0.0

    def start(self) -> Process:
        return self.make(self.label)


class Parent:
    """Supervises the processes until it is told to stop."""

    def __init__(self, pid_folder: Path) -> None:
        self.say = Announcer()
        self.facts: dict[str, Any] = {}
        self.pid_folder = pid_folder
        self.pid_file = pid_folder / "serve.json"
        self.listener: socket.socket | None = None
        self.metrics: socket.socket | None = None
        self.slots: list[Slot] = []
        self.ending: dict[int, tuple[Process, float]] = {}  # replaced or surplus, and when they are killed
        self.signals: deque[int] = deque()
        self.reload: Iterator[None] = iter(())
        self.reloading = False
        self.reloads = 0
        self.failed: str | None = None  # why the last reload failed
        self.preparing: subprocess.Popen[bytes] | None = None
        self.noted: dict[str, Any] = {}

    # --- Starting ---

    def run(self) -> None:
        self._take_signals()
        preparing = self._prepare()
        self._learn(preparing)
        self.listener = listen(self.facts["host"], self.facts["port"])
        if self.facts["metrics_port"]:
            self.metrics = listen("127.0.0.1", self.facts["metrics_port"])
        self._say_go(preparing)
        while preparing.poll() is None:
            self._wait()
            if self._stop_is_asked():
                preparing.terminate()
                preparing.wait()
                return
        if preparing.returncode:
            raise SystemExit(1)  # it has reported the reason
        self._clear_metrics()
        self._arrange()
        workers = self.facts["workers"]
        self.say(
            "server.serving",
            f"Alviar serves on {self.facts['url']} with {workers} processes; their ids: {self.pid_file}",
            url=self.facts["url"],
            workers=workers,
            pid=os.getpid(),
        )
        self._look_after()
        self._stop()

    def _take_signals(self) -> None:
        self.wake, wake = socket.socketpair()
        for end in (self.wake, wake):
            end.setblocking(False)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._wake_in = wake
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda number, frame: self.signals.append(number))
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def _wait(self, seconds: float = 0.5) -> None:
        """Wait for a signal, a process's readiness, or the timeout."""
        pipes: list[Any] = [p.ready_fd for p in self._processes() if p.ready_fd >= 0]
        found, _, _ = select.select([self.wake, *pipes], [], [], seconds)
        if self.wake in found:
            with suppress(BlockingIOError):
                self.wake.recv(4096)

    def _stop_is_asked(self) -> bool:
        return signal.SIGTERM in self.signals or signal.SIGINT in self.signals

    def _prepare(self) -> "subprocess.Popen[bytes]":
        """Start the `prepare` process: it reports the settings, waits for our reply, then migrates."""
        environment = {**os.environ, "ALVIAR_PARENT": str(os.getpid())}
        return subprocess.Popen(
            [sys.executable, "-m", "config.server", "prepare"],
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def _learn(self, preparing: "subprocess.Popen[bytes]") -> None:
        """Read the settings that `prepare` reports."""
        assert preparing.stdout is not None  # noqa: S101
        line = preparing.stdout.readline()
        if not line:
            preparing.wait()
            raise SystemExit(1)
        self.facts = json.loads(line)
        self.say = Announcer(self.facts["log_format"], self.facts["log_level"])
        self.pid_file = self.pid_folder / f"serve-{self.facts['port']}.json"

    def _say_go(self, preparing: "subprocess.Popen[bytes]") -> None:
        assert preparing.stdin is not None  # noqa: S101
        with suppress(BrokenPipeError):
            preparing.stdin.write(b"go\n")
            preparing.stdin.close()

    def _clear_metrics(self) -> None:
        """Delete the metrics files of an earlier run, which would be added to ours."""
        folder = self._metrics_folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in folder.glob("*.db"):
            file.unlink(missing_ok=True)

    @property
    def _metrics_folder(self) -> Path:
        return self.pid_folder / f"metrics-{self.facts['port']}"

    def _arrange(self) -> None:
        """Create a slot for each configured process; end surplus ones."""
        wanted = [(f"server {n + 1}", f"server{n + 1}", self._server) for n in range(self.facts["workers"])]
        if self.facts["tasks"]:
            wanted.append(("task worker", "tasks", self._task_worker))
        have: dict[str, Slot] = {slot.label: slot for slot in self.slots}
        self.slots = [have.pop(label) if label in have else Slot(name, label, make) for name, label, make in wanted]
        for slot in have.values():
            if slot.current is not None:
                self._end(slot.current)

    def _metrics_name(self, label: str) -> str:
        """Return a name for the metrics of a new process that no living one has.

        A replacement and its predecessor count separately, and the end of the one leaves the gauges of the other.
        """
        taken = {process.name for process in self._processes()}
        return next(name for n in count() if (name := f"{label}-{n}") not in taken)

    def _environment(self, name: str) -> dict[str, str]:
        return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._metrics_folder), "ALVIAR_METRICS_NAME": name}

    def _server(self, label: str) -> Process:
        assert self.listener is not None  # noqa: S101
        name = self._metrics_name(label)
        environment = {**self._environment(name), "ALVIAR_LISTEN_FD": str(self.listener.fileno())}
        sockets = [self.listener.fileno()]
        if self.metrics is not None:
            environment["ALVIAR_METRICS_FD"] = str(self.metrics.fileno())
            sockets.append(self.metrics.fileno())
        return Process(name, [sys.executable, "-m", "config.server", "worker"], environment, sockets)

    def _task_worker(self, label: str) -> Process:
        name = self._metrics_name(label)
        return Process(name, [sys.executable, "manage.py", "tasks_worker"], self._environment(name), [])

    # --- Looking after ---

    def _processes(self) -> list[Process]:
        return [slot.current for slot in self.slots if slot.current] + [process for process, _ in self.ending.values()]

    def _look_after(self) -> None:
        while not self._stop_is_asked():
            now = time.monotonic()
            for process in self._processes():
                process.look()
            for slot in self.slots:
                self._keep_alive(slot, now)
            self._reap(now)
            if signal.SIGHUP in self.signals and not self.reloading:
                self.signals = deque(signum for signum in self.signals if signum != signal.SIGHUP)
                self.reloading, self.reload = True, self._reload()
            if self.reloading and next(self.reload, DONE) is DONE:
                self.reloading = False
                self.reloads += 1
            self._note()
            self._wait()

    def _keep_alive(self, slot: Slot, now: float) -> None:
        process = slot.current
        if process is None:
            if now >= slot.start_at:
                slot.current = slot.start()
            return
        if process.ended is None:
            return
        if now - process.started_at > GOOD_SECONDS:
            slot.back_off = RESTART_SECONDS
        self.say(
            "server.process_ended",
            f"{slot.name} (pid {process.pid}) ended with {process.ended}; started again in {slot.back_off:g} s",
            level="error",
            process=slot.name,
            pid=process.pid,
            code=process.ended,
            again_in_s=slot.back_off,
        )
        self._forget(process)
        slot.current, slot.start_at = None, now + slot.back_off
        slot.back_off = min(slot.back_off * 2, RESTART_SECONDS_MAX)

    def _end(self, process: Process) -> None:
        """Stop a process gracefully: it drains its sockets and finishes its work; it is killed after a timeout."""
        process.send(signal.SIGTERM)
        self.ending[process.pid] = (process, time.monotonic() + self._patience_s)

    @property
    def _patience_s(self) -> float:
        return 2 * float(self.facts["drain_seconds"]) + 5

    def _reap(self, now: float) -> None:
        for pid, (process, deadline) in list(self.ending.items()):
            process.look()
            if process.ended is not None:
                self._forget(process)
                del self.ending[pid]
            elif now > deadline:
                process.send(signal.SIGKILL)

    def _forget(self, process: Process) -> None:
        """Drop the gauges of a process that has exited (its counters stay)."""
        if process.ready_fd >= 0:
            os.close(process.ready_fd)
            process.ready_fd = -1
        for file in self._metrics_folder.glob(f"gauge_live*_{process.name}.db"):
            file.unlink(missing_ok=True)

    def _reload(self) -> Iterator[None]:
        """Replace every process by one with the current code and settings; a generator that yields while it waits."""
        self.say("server.reloading", "Reloading …", pid=os.getpid())
        self.failed = None
        self.preparing = preparing = self._prepare()
        self._say_go(preparing)
        while preparing.poll() is None:
            yield
        if preparing.returncode:
            self._reload_failed("the settings or the stores refuse it (see above); the old processes go on")
            return
        before = self.facts
        self._learn(preparing)
        for name in ("host", "port", "metrics_port"):
            if self.facts[name] != before[name]:
                self.say(
                    "server.needs_restart",
                    f"{name.upper()} has changed: that takes a restart.",
                    level="warning",
                    setting=name.upper(),
                )
                self.facts[name] = before[name]
        self.facts["url"] = before["url"]
        self.pid_file = self.pid_folder / f"serve-{self.facts['port']}.json"
        self._arrange()
        for slot in self.slots:
            old = slot.current
            if old is None:  # new, or already being restarted
                continue
            replacement = slot.start()
            self.ending[replacement.pid] = (replacement, time.monotonic() + READY_SECONDS)  # supervised until ready
            while not replacement.is_ready and replacement.ended is None:
                yield
            if not replacement.is_ready:
                self._reload_failed(f"the new {slot.name} did not start; the others go on as they are")
                return
            del self.ending[replacement.pid]
            old, slot.current = slot.current, replacement
            slot.back_off = RESTART_SECONDS
            if old is not None:
                self._end(old)
                while old.pid in self.ending:
                    yield
        self.say("server.reloaded", "Reloaded.", pid=os.getpid())

    def _reload_failed(self, why: str) -> None:
        self.failed = why
        self.say("server.reload_failed", f"Not reloaded: {why}.", level="error", reason=why)

    def _note(self) -> None:
        """Write the process ids to the file if they have changed."""
        servers = [slot.current for slot in self.slots if slot.label != "tasks"]
        tasks = next((slot.current for slot in self.slots if slot.label == "tasks"), None)
        pids = {
            "parent": os.getpid(),
            "workers": [process.pid for process in servers if process],
            "tasks": tasks.pid if tasks else None,
            "reloads": self.reloads,
            "reloading": self.reloading,
            "failed": self.failed,
        }
        if pids != self.noted:
            self.noted = pids
            write_whole(self.pid_file, json.dumps(pids))

    # --- Stopping ---

    def _stop(self) -> None:
        self.say("server.stopping", "Stopping …", pid=os.getpid())
        if self.preparing is not None and self.preparing.poll() is None:
            self.preparing.terminate()
        self.signals.clear()
        for process in self._processes():
            if process.pid not in self.ending:
                self._end(process)
            else:
                process.send(signal.SIGTERM)
        while self.ending:
            self._wait(0.2)
            if self._stop_is_asked():  # a second signal: stop at once
                self.signals.clear()
                for process, _ in self.ending.values():
                    process.send(signal.SIGINT)
            self._reap(time.monotonic())
        self.pid_file.unlink(missing_ok=True)
        for file in self._metrics_folder.glob("*.db"):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self._metrics_folder.rmdir()
        self.say("server.stopped", "Stopped.", pid=os.getpid())


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def reload(folder: Path) -> None:
    """Tell the running parent to reload and wait for it; exit 1 if it fails."""
    port = os.environ.get("PORT", "*")
    found = sorted(folder.glob(f"serve-{port}.json"))
    if len(found) != 1:
        stop("Nothing runs here to reload." if not found else "More than one server runs here: say which by PORT=….")
    before = json.loads(found[0].read_text())
    try:
        os.kill(before["parent"], signal.SIGHUP)
    except ProcessLookupError:
        stop(f"The server that {found[0]} tells of is gone.")
    say = Announcer()
    say("server.reloading", f"Asked process {before['parent']} to reload …")
    while True:
        time.sleep(0.2)
        try:
            now = json.loads(found[0].read_text())
        except FileNotFoundError:
            stop("The server stopped.")
        if now["reloads"] > before["reloads"] + before["reloading"]:
            break
    if now["failed"]:
        stop(f"Not reloaded: {now['failed']}.")
    say("server.reloaded", f"Reloaded: processes {', '.join(map(str, now['workers']))}.")
