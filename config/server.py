"""Start Alviar: `python -m config.server run` (embedded) or `serve` (production).

`run` is one process on SQLite and memory, with demo people. `serve` is a parent with `WORKERS` server processes and one
task worker; the parent starts what dies again and stops all of them together. Their process ids stand in
`var/serve-<port>.json`.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

BASE_DIR = Path(__file__).resolve().parent.parent
# A worker that dies is started again after this long, doubled each time up to the last; forgotten after a good minute.
RESTART_SECONDS, RESTART_SECONDS_MAX, GOOD_SECONDS = 0.5, 30.0, 60.0


def say(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201


def stop(text: str) -> NoReturn:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
    raise SystemExit(1)


def set_up(mode: str, *, warn: bool = True) -> Any:
    """Load the settings and Django, and refuse an unsafe start with plain lines instead of a traceback."""
    os.chdir(BASE_DIR)
    os.environ.setdefault("ALVIAR_MODE", mode)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    import environs
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management.base import SystemCheckError

    try:
        django.setup()
        from django.core.management import BaseCommand

        if warn:
            BaseCommand().check()  # silent where nothing is found
    except (environs.EnvError, ImproperlyConfigured, SystemCheckError) as error:
        stop(f"Alviar does not start with these settings:\n{error}")
    return settings


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent is gone, however it went (elsewhere: nothing)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def wait_for(name: str, ready: Callable[[], Any], *, seconds: float) -> None:
    """Call `ready` until it no longer raises; give up with one clear line after `seconds`."""
    deadline, told = time.monotonic() + seconds, False
    while True:
        try:
            ready()
            return
        except Exception as error:
            if time.monotonic() > deadline:
                stop(f"{name} did not answer within {seconds:g} seconds: {' '.join(str(error).split())[:300]}")
            if not told:
                say(f"Waiting for {name} …")
                told = True
            time.sleep(0.5)


def wait_for_stores(settings: Any) -> None:
    """Wait until the database, and Redis where there is one, answer."""
    from django.db import connection

    def database() -> None:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def redis() -> None:
        import redis

        for url in settings.REDIS_URLS:
            redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2).ping()

    wait_for("the database", database, seconds=settings.STARTUP_WAIT_SECONDS)
    if settings.REDIS_URLS:
        wait_for("Redis", redis, seconds=settings.STARTUP_WAIT_SECONDS)


def migrate() -> None:
    """Bring the tables up to date; several hosts that start together take turns (PostgreSQL)."""
    from django.core.management import call_command
    from django.db import connection

    lock = 0x416C76696172  # "Alviar"
    is_postgresql = connection.vendor == "postgresql"
    if is_postgresql:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [lock])
    try:
        call_command("migrate", verbosity=0, interactive=False)
    finally:
        if is_postgresql:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [lock])
        connection.close()


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a listening socket. `shared`: several processes have one each and the kernel deals out the connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        stop(
            f"Cannot listen on {host}:{port}: {error.strerror or error}. Another PORT or HOST in the environment helps."
        )
    listener.setblocking(False)
    return listener


def serve_here(listener: socket.socket) -> None:
    """Serve in this process until SIGTERM or SIGINT."""
    import uvicorn
    from django.conf import settings

    config = uvicorn.Config(
        "config.asgi:application",
        http="config.protocols:HTTPProtocol",
        ws="config.protocols:SocketProtocol",
        # Deflate halves the deliveries a second and doubles the memory of a socket.
        ws_per_message_deflate=False,
        ws_max_size=settings.CHAT_FRAME_BYTES,
        lifespan="on",
        # The trusted proxies are counted by us (TRUSTED_PROXY_COUNT); uvicorn would believe any on loopback.
        proxy_headers=False,
        server_header=False,
        # uvicorn's own lines hold query strings; ours (config/logs.py) do not.
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.DRAIN_SECONDS),
    )
    server = uvicorn.Server(config)
    # uvicorn raises the signal again once it has stopped: by then the work is done, and the exit is a clean one.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, frame: None)
    server.run(sockets=[listener])


def run() -> None:
    """The embedded server: migrate, make the demo people, say where everything is, serve."""
    settings = set_up("embedded")
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    if os.environ.get("MAKELEVEL"):
        die_with_parent()
    listener = listen(settings.HOST, settings.PORT)
    wait_for_stores(settings)
    say("Preparing the database …")
    migrate()
    from django.core.management import call_command

    call_command("seed_demo", verbosity=0)
    from config import demo

    base = settings.LISTEN_URL
    say(f"Alviar serves on {base}")
    for name, path in (
        ("Start page", "/"),
        ("REST API", "/api/docs/"),
        ("OpenAPI", "/api/schema/"),
        ("Socket API", "/api/asyncapi/"),
        ("Admin", "/admin/"),
        ("Mails sent", "/dev/mail/"),
        ("WebSocket", "/ws/chat/"),
    ):
        say(f"  {name:<11} {base.replace('http', 'ws', 1) if path == '/ws/chat/' else base}{path}")
    if demo.is_allowed():
        say("  Sign in as  alice, bob, charlie or admin, password alviar-demo")
    serve_here(listener)


def worker() -> None:
    """One server process of `serve`."""
    settings = set_up("production", warn=False)  # the parent has said it
    die_with_parent()
    serve_here(listen(settings.HOST, settings.PORT, shared=True))


class Child:
    """A process that is kept alive."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self.command = name, command
        self.back_off, self.start_at = RESTART_SECONDS, 0.0
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    def look_after(self, now: float) -> bool:
        """Start the process where it is not running and its time has come; return whether anything changed."""
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                return False
            if now - self.started_at > GOOD_SECONDS:
                self.back_off = RESTART_SECONDS
            say(f"{self.name} (pid {self.process.pid}) ended with {code}; started again in {self.back_off:g} s")
            self.process, self.start_at = None, now + self.back_off
            self.back_off = min(self.back_off * 2, RESTART_SECONDS_MAX)
            return True
        if now < self.start_at:
            return False
        # A session of its own: Ctrl-C reaches the parent alone, which then stops its children in order.
        self.process = subprocess.Popen(self.command, cwd=BASE_DIR, stdin=subprocess.DEVNULL, start_new_session=True)
        self.started_at = now
        return True


def serve() -> None:
    """Production: checks, migrations, static files, then the processes, until SIGTERM or SIGINT."""
    settings = set_up("production")
    if os.environ.get("MAKELEVEL"):
        die_with_parent()
    # Without SO_REUSEPORT: the port must be nobody else's before our workers share it.
    listen(settings.HOST, settings.PORT).close()
    wait_for_stores(settings)
    migrate()
    from django.core.management import call_command

    call_command("seed_demo", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)

    stopping = False

    def on_signal(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, on_signal)
    python = sys.executable
    workers = [Child(f"server {n + 1}", [python, "-m", "config.server", "worker"]) for n in range(settings.WORKERS)]
    tasks = Child("task worker", [python, "manage.py", "tasks_worker"])
    children = [*workers, tasks]
    pid_file = Path(settings.VAR_DIR) / f"serve-{settings.PORT}.json"
    say(f"Alviar serves on {settings.LISTEN_URL} with {settings.WORKERS} processes; their ids: {pid_file}")

    def note() -> None:
        pids: dict[str, Any] = {
            "parent": os.getpid(),
            "workers": [child.process.pid for child in workers if child.process],
            "tasks": tasks.process.pid if tasks.process else None,
        }
        pid_file.parent.mkdir(parents=True, exist_ok=True)
        part = pid_file.with_suffix(".part")
        part.write_text(json.dumps(pids))
        part.replace(pid_file)

    while not stopping:
        changed = [child.look_after(time.monotonic()) for child in children]
        if any(changed):
            note()
        time.sleep(0.1)

    say("Stopping …")
    living = [child.process for child in children if child.process]
    for process in living:
        process.terminate()
    deadline = time.monotonic() + 2 * settings.DRAIN_SECONDS + 5
    for process in living:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    pid_file.unlink(missing_ok=True)
    say("Stopped.")


if __name__ == "__main__":
    commands = {"run": run, "serve": serve, "worker": worker}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        stop("usage: python -m config.server run|serve")
    commands[sys.argv[1]]()
