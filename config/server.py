"""Start Alviar: `python -m config.server run` (embedded), `serve` (production) or `reload`.

`run` is one process on SQLite and memory, with demo people. `serve` is a parent (`config/processes.py`) with `WORKERS`
server processes and one task worker, whose process ids stand in `var/serve-<port>.json`. `reload` replaces these
processes one by one, as SIGHUP to the parent does. `prepare` and `worker` are what the parent starts.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import processes
from config.announce import Announcer
from config.processes import BASE_DIR, die_with_parent, stop

say = Announcer()


def set_up(mode: str, *, warn: bool = True) -> Any:
    """Load the settings and Django, and refuse an unsafe start with plain lines instead of a traceback."""
    os.chdir(BASE_DIR)
    os.environ.setdefault("ALVIAR_MODE", mode)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        # It is there for `runserver`; its Twisted would be 25 MB in each process.
        settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "daphne"]
        django.setup()
        say.log_format, say.log_level = settings.LOG_FORMAT, settings.LOG_LEVEL
        check(warn=warn)
    except ImproperlyConfigured as error:
        stop(f"Alviar does not start with these settings:\n{error}")
    return settings


def check(*, warn: bool) -> None:
    """Run Django's checks and ours; say what they warn of. Raises SettingsRefused with the errors."""
    from django.core import checks

    from config.checks import line
    from config.environment import SettingsRefused

    found = [message for message in checks.run_checks() if not message.is_silenced()]
    for message in found if warn else []:
        if checks.WARNING <= message.level < checks.ERROR:
            say("server.check", f"Warning: {line(message)}", level="warning", check=message.id)
    errors = [line(message) for message in found if message.level >= checks.ERROR]
    if errors:
        raise SettingsRefused(errors)


def wait_for(name: str, ready: Callable[[], Any], *, seconds: float) -> None:
    """Call `ready` until it no longer raises; exit with an error line after `seconds`."""
    deadline, told = time.monotonic() + seconds, False
    while True:
        try:
            ready()
            return
        except Exception as error:
            if time.monotonic() > deadline:
                stop(f"{name} did not answer within {seconds:g} seconds: {' '.join(str(error).split())[:300]}")
            if not told:
                say("server.waiting", f"Waiting for {name} …", store=name)
                told = True
            time.sleep(0.5)


def wait_for_stores(settings: Any) -> None:
    """Wait until the database, and Redis where there is one, answer."""
    from django.db import connection

    from common import redis_places

    def database() -> None:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def redis() -> None:
        for url in settings.REDIS_URLS:
            redis_places.client(url, timeout_s=2).ping()

    wait_for("the database", database, seconds=settings.STARTUP_WAIT_SECONDS)
    if settings.REDIS_URLS:
        wait_for("Redis", redis, seconds=settings.STARTUP_WAIT_SECONDS)


def migrate() -> None:
    """Run the migrations, one host at a time where several start together (PostgreSQL)."""
    from django.core.management import call_command
    from django.db import connection

    from common.postgresql.locks import held

    try:
        with held("migrate"):
            call_command("migrate", verbosity=0, interactive=False)
    finally:
        connection.close()


def serve_here(listener: socket.socket, metrics_listener: socket.socket | None = None) -> None:
    """Serve in this process until SIGTERM or SIGINT."""
    import signal

    import uvicorn
    from django.conf import settings

    from common import lifespan
    from common.metrics import PROCESSES
    from config import metrics

    config = uvicorn.Config(
        "config.asgi:application",
        http="config.protocols:HTTPProtocol",
        ws="config.protocols:SocketProtocol",
        # Deflate halves the throughput and doubles the memory per socket.
        ws_per_message_deflate=False,
        ws_max_size=settings.CHAT_FRAME_BYTES,
        lifespan="on",
        # We count trusted proxies ourselves (TRUSTED_PROXY_COUNT); uvicorn would trust any on loopback.
        proxy_headers=False,
        server_header=False,
        # uvicorn's access log contains query strings; ours (config/logs.py) does not.
        access_log=False,
        log_config=None,
        backlog=processes.LISTEN_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.DRAIN_SECONDS),
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            PROCESSES.labels("server").set(1)
            processes.say_ready()

        async def accept_no_more(self) -> None:
            """Stop accepting connections, and close open ones after their response."""
            for server in self.servers:
                server.close()
            if metrics_server is not None:
                metrics_server.stop()
            self.config.encoded_headers.append((b"connection", b"close"))
            self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]

    server = Server(config)
    lifespan.on_drain(server.accept_no_more)
    metrics_server = metrics.serve(metrics_listener) if metrics_listener is not None else None
    # uvicorn raises the signal again once it has stopped: by then the work is done, and the exit is a clean one.
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, frame: None)
    server.run(sockets=[listener])


def run() -> None:
    """Run the embedded server: migrate, create the demo accounts, print the URLs, serve."""
    settings = set_up("embedded")
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    if os.environ.get("MAKELEVEL"):
        die_with_parent()
    listener = processes.listen(settings.HOST, settings.PORT)
    metrics_listener = processes.listen("127.0.0.1", settings.METRICS_PORT) if settings.METRICS_PORT else None
    wait_for_stores(settings)
    say("server.preparing", "Preparing the database …")
    migrate()
    from django.core.management import call_command

    call_command("seed_demo", verbosity=0)
    from config import demo

    base = settings.LISTEN_URL
    lines = [f"Alviar serves on {base}"]
    for name, path in (
        ("Start page", "/"),
        ("REST API", "/api/docs/"),
        ("OpenAPI", "/api/schema/"),
        ("Socket API", "/api/asyncapi/"),
        ("Admin", "/admin/"),
        ("Mails sent", "/dev/mail/"),
        ("WebSocket", "/ws/chat/"),
    ):
        lines.append(f"  {name:<11} {base.replace('http', 'ws', 1) if path == '/ws/chat/' else base}{path}")
    if demo.is_allowed():
        lines.append("  Sign in as  alice, bob, charlie or admin, password alviar-demo")
    say("server.serving", "\n".join(lines), url=base)
    serve_here(listener, metrics_listener)


def prepare() -> None:
    """Prepare for `serve`: report the settings it needs, wait for its reply, then migrate and collect static files.

    The parent binds the port in between, so that a server that cannot start migrates nothing.
    """
    die_with_parent()
    settings = set_up("production")
    facts = {
        "host": settings.HOST,
        "port": settings.PORT,
        "metrics_port": settings.METRICS_PORT,
        "workers": settings.WORKERS,
        "tasks": settings.SERVE_TASKS,
        "drain_seconds": settings.DRAIN_SECONDS,
        "log_format": settings.LOG_FORMAT,
        "log_level": settings.LOG_LEVEL,
        "url": settings.LISTEN_URL,
    }
    print(json.dumps(facts), flush=True)  # noqa: T201
    if not sys.stdin.readline():
        raise SystemExit(1)  # the parent stopped
    os.dup2(2, 1)  # other output goes to stderr
    wait_for_stores(settings)
    migrate()
    from django.core.management import call_command

    call_command("seed_demo", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)


def worker() -> None:
    """One server process of `serve`."""
    die_with_parent()
    settings = set_up("production", warn=False)  # `prepare` has logged the warnings
    listener = processes.inherited("ALVIAR_LISTEN_FD") or processes.listen(settings.HOST, settings.PORT)
    listener.setblocking(False)
    serve_here(listener, processes.inherited("ALVIAR_METRICS_FD"))


def serve() -> None:
    """Production: checks, migrations, static files, then the processes, until SIGTERM or SIGINT."""
    os.environ.setdefault("ALVIAR_MODE", "production")
    if os.environ.get("MAKELEVEL"):
        die_with_parent()
    processes.Parent(BASE_DIR / "var").run()


def reload() -> None:
    processes.reload(BASE_DIR / "var")


if __name__ == "__main__":
    commands = {"run": run, "serve": serve, "reload": reload, "prepare": prepare, "worker": worker}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        stop("usage: python -m config.server run|serve|reload")
    commands[sys.argv[1]]()
