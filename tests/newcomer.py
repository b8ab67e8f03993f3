"""What a newcomer does, from a clone to a restored backup; also how CI runs the previous code on today's tables.

    python -m tests.newcomer [--reloads N] [--pairs N] [--workers N] [--within-ms N]

1. clone, check out the commit before (`previous()`), configure by `.env`, `make serve`, sign in through nginx with TLS;
2. under load: `make reload` N times, upgrade to this commit by `make reload`, go back (the code before on the tables of
   now), upgrade again; after each step two people sign in and talk over their socket;
3. back up, lose the database, restore, renew the epoch; the message from before is there.
Under load no request may be refused and no message lost. `--within-ms` bounds the 99th percentile of the requests.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests import live, servers, stack
from tests.load import Door, Load, Pair, percentile
from tests.servers import NotAvailable

ROOT = Path(__file__).resolve().parent.parent


def say(text: str) -> None:
    print(f"--- {text}", flush=True)


# --- Which code came before -------------------------------------------------------------------------------------------


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def migrations(root: Path, commit: str) -> set[str]:
    """Return the paths of a commit's migrations."""
    names = git(root, "ls-tree", "-r", "--name-only", commit).splitlines()
    return {name for name in names if re.search(r"(^|/)migrations/\d{4}_\w+\.py$", name)}


def previous(root: Path) -> str | None:
    """Return the release before HEAD, or else the newest first parent whose migrations are others; None without one."""
    try:
        head = git(root, "rev-parse", "HEAD")
        for tag in git(root, "tag", "--list", "v*", "--merged", "HEAD", "--sort=-creatordate").splitlines():
            if (commit := git(root, "rev-list", "-n1", tag)) != head:
                return commit
        now = migrations(root, head)
        commits = git(
            root, "rev-list", "--first-parent", "--max-count=2000", "HEAD", "--", "*/migrations/*"
        ).splitlines()
        parents = (git(root, "rev-list", "--parents", "-n1", commit).split()[1:2] for commit in commits)
        return next((parent[0] for parent in parents if parent and migrations(root, parent[0]) != now), None)
    except (OSError, subprocess.CalledProcessError):
        return None


# --- The installation -------------------------------------------------------------------------------------------------


class Installation:
    """A clone with its settings, its server and its proxy."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.folder, self.code = folder, folder / "alviar"
        self.database_url = database_url
        self.port, self.plain, self.tls = (servers.free_port() for _ in range(3))
        self.url = f"https://localhost:{self.tls}"
        self.environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}} | {
            "SSL_CERT_FILE": str(folder / "cert.pem")
        }
        self.settings = live.UNLIMITED | {
            "ALVIAR_MODE": "production",
            "PORT": str(self.port),
            "WORKERS": "2",
            "SECRET_KEY": os.urandom(32).hex(),
            "JWT_SIGNING_KEYS": f"first:{os.urandom(32).hex()}",
            "ALLOWED_HOSTS": "localhost",
            "PUBLIC_URL": self.url,
            "TRUSTED_PROXY_COUNT": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "MAIL_DIR": str(folder / "mail"),
            "DRAIN_SECONDS": "10",
        }

    def clone(self, commit: str) -> None:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.code)], check=True)
        git(self.code, "checkout", "--quiet", "--detach", commit)
        (self.code / ".venv").symlink_to(sys.prefix)

    def configure(self) -> None:
        shutil.copy(self.code / ".env.example", self.code / ".env")
        with (self.code / ".env").open("a") as file:
            file.write("".join(f"{name}={value}\n" for name, value in self.settings.items()))

    def make(self, *words: str) -> list[str]:
        # The packages are there already; and nothing here reaches outside.
        return ["make", "-o", ".venv/.installed", f"PYTHON={sys.executable}", *words]

    def run(self, *command: str, within_s: float = 900) -> str:
        done = subprocess.run(
            command, cwd=self.code, env=self.environment, capture_output=True, text=True, timeout=within_s, check=False
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}\n{self.log()}")
        return done.stdout

    def manage(self, *command: str) -> str:
        return self.run(sys.executable, "manage.py", *command)

    def log(self) -> str:
        return (self.folder / "serve.log").read_text()[-4000:]

    def use(self, commit: str) -> None:
        """Bring in another commit's code as an administrator does: check out, reload."""
        git(self.code, "checkout", "--quiet", "--detach", commit)
        self.run(*self.make("reload"))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run `make serve` until it is ready, and to the end."""
        with (self.folder / "serve.log").open("ab") as log:
            process = subprocess.Popen(
                self.make("serve"),
                cwd=self.code,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            for _ in range(1200):
                with suppress(OSError):
                    if self.server(process).call("GET", "/readyz")[0] == 200:
                        break
                assert process.poll() is None, self.log()
                time.sleep(0.1)
            else:
                raise AssertionError(f"not ready:\n{self.log()}")
            yield
        finally:
            process.terminate()
            process.wait(live.START_SECONDS)

    def server(self, process: Any = None) -> live.Server:
        """Return the plain port, for what the proxy is not about."""
        return live.Server(f"http://127.0.0.1:{self.port}", process, self.folder / "serve.log")

    @contextmanager
    def proxy(self) -> Iterator[None]:
        program = stack.nginx_binary()
        configuration = stack.nginx_configuration(self.folder, upstream=self.port, plain=self.plain, tls=self.tls)
        with (self.folder / "nginx.log").open("ab") as log:
            process = subprocess.Popen(
                [program, "-p", str(self.folder), "-c", str(configuration)], stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait(live.START_SECONDS)

    @property
    def doors(self) -> list[Door]:
        import ssl

        through = Door(self.url, ssl.create_default_context(cafile=str(self.folder / "cert.pem")))
        return [through, Door(f"http://localhost:{self.port}", None, {"X-Forwarded-Proto": "https"})]


# --- What people do ---------------------------------------------------------------------------------------------------


async def sign_up_and_talk(door: Door) -> Pair:
    """Register two people, sign them in, and have what one says over the socket heard by the other."""
    people = []
    for _ in range(2):
        name = f"p{uuid.uuid4().hex[:10]}"
        given = {"username": name, "email": f"{name}@example.com", "password": live.PASSWORD}
        await ok(door, "/api/auth/register/", {**given, "password_confirm": live.PASSWORD})
        people.append(await ok(door, "/api/auth/login/", {"username": name, "password": live.PASSWORD}))
    alice, bob = people
    asked = {"kind": "direct", "user_id": bob["user"]["id"]}
    room = (await ok(door, "/api/chat/conversations/", asked, alice["access"]))["uuid"]
    async with (
        asyncio.timeout(live.START_SECONDS),
        door.connect(bob["access"]) as hears,
        door.connect(alice["access"]) as says,
    ):
        hello = json.loads(await hears.recv())
        await hears.send(json.dumps({"type": "resume", "epoch": hello["epoch"], "cursors": {}}))
        said = {"type": "message", "conversation_uuid": room, "content": "Hello!", "client_msg_id": str(uuid.uuid4())}
        await says.send(json.dumps(said))
        while json.loads(await says.recv())["type"] != "ack":
            pass
        while True:
            frame = json.loads(await hears.recv())
            if any(event["data"].get("content") == "Hello!" for event in frame.get("events", [])):
                return Pair(alice["access"], bob["access"], room)


async def ok(door: Door, path: str, body: Any, token: str = "") -> Any:
    status, answer = await door.call("POST", path, token, body)
    assert status in {200, 201}, (path, status, answer)
    return json.loads(_body(answer))


def _body(answer: bytes) -> bytes:
    """Return a body whole, also where it came in chunks."""
    if answer[:1] in b"{[":
        return answer
    whole = b""
    while answer:
        size, _, answer = answer.partition(b"\r\n")
        whole, answer = whole + answer[: int(size, 16)], answer[int(size, 16) + 2 :]
    return whole


async def live_through(here: Installation, load: Load, what: str, *work: Any) -> None:
    say(f"{what}, under load")
    started, before = time.monotonic(), len(load.took)
    await asyncio.to_thread(*work)
    took = load.took[before:]
    say(
        f"    {time.monotonic() - started:.1f} s; {len(took)} requests meanwhile, p99 "
        f"{percentile(took, 0.99) * 1000:.0f} ms, {len(load.faults)} refused, {load.reconnects} reconnects so far"
    )
    await sign_up_and_talk(here.doors[0])


async def be_reloaded_and_upgraded(here: Installation, before: str | None, now: str, args: Any) -> Load:
    pairs = [await sign_up_and_talk(here.doors[0]) for _ in range(args.pairs)]
    async with Load(here.doors, pairs, args.workers) as load:
        for _ in range(args.reloads):
            await live_through(here, load, "reload", here.run, *here.make("reload"))
        if before is not None:
            await live_through(here, load, f"upgrade from {before[:9]} to {now[:9]}", here.use, now)
            await live_through(here, load, f"back to {before[:9]}, on the tables of {now[:9]}", here.use, before)
            await live_through(here, load, f"upgrade to {now[:9]} again", here.use, now)
    return load


def back_up_lose_restore(here: Installation) -> None:
    """docs/backup.md: dump while it serves, lose everything, restore, renew the epoch."""
    binaries = servers.postgresql_binaries()
    with here.serving():
        alice, bob = here_people(here)
        room = alice.direct(bob)
        alice.say(room, "kept")
        epoch = asyncio.run(epoch_of(bob))
        here.run(str(binaries / "pg_dump"), "--format=custom", f"--file={here.folder}/dump", here.database_url)
    name = here.database_url.rpartition("/")[2]
    with psycopg.connect(re.sub(r"/[^/]+$", "/postgres", here.database_url), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
    here.run(
        str(binaries / "pg_restore"),
        "--no-owner",
        "--exit-on-error",
        f"--dbname={here.database_url}",
        f"{here.folder}/dump",
    )
    here.manage("migrate", "--noinput")
    here.manage("renew_epoch")
    with here.serving():
        page = bob.ok("GET", f"/api/chat/conversations/{room}/messages/")["results"]
        assert [message["content"] for message in page] == ["kept"]
        assert asyncio.run(epoch_of(bob)) != epoch


def here_people(here: Installation) -> list[live.Person]:
    server = SecureServer(f"http://127.0.0.1:{here.port}", None, here.folder / "serve.log")  # type: ignore[arg-type]
    return [server.person() for _ in range(2)]


class SecureServer(live.Server):
    """The plain port, spoken to as the proxy does."""

    def call(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> tuple[int, Any]:
        more = {"Host": "localhost", "X-Forwarded-Proto": "https"}
        return super().call(method, path, body, token=token, **more, **headers)


async def epoch_of(person: live.Person) -> str:
    door = Door(person.server.base.replace("127.0.0.1", "localhost"), None, {"X-Forwarded-Proto": "https"})
    async with door.connect(person.access) as wire:
        return str(json.loads(await wire.recv())["epoch"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--within-ms", type=float, default=0)
    args = parser.parse_args()
    now, before = git(ROOT, "rev-parse", "HEAD"), previous(ROOT)
    if before is None:
        say("NOT RUN: the upgrade. The history of this clone has no commit before this one with other migrations.")
    with ExitStack() as at_the_end:
        folder = Path(at_the_end.enter_context(tempfile.TemporaryDirectory(prefix="alviar-newcomer-")))
        here = Installation(
            folder, at_the_end.enter_context(servers.postgresql()), at_the_end.enter_context(servers.valkey())
        )
        say(f"clone, check out {(before or now)[:9]}, configure, make serve behind nginx with TLS")
        here.clone(before or now)
        here.configure()
        with here.serving(), here.proxy():
            assert "/reset-password/" in here.manage("first_admin", "root", "root@example.com")
            load = asyncio.run(be_reloaded_and_upgraded(here, before, now, args))
            if before is None or "doctor" in here.manage("help"):
                said = here.run(sys.executable, "manage.py", "doctor")
                assert "ok      TLS" in said, said
        say(load.report())
        load.check()
        assert "Traceback" not in here.log(), here.log()
        say("back up, lose, restore, renew the epoch")
        back_up_lose_restore(here)
    p99 = percentile(load.took, 0.99) * 1000
    if args.within_ms and p99 > args.within_ms:
        sys.exit(f"The 99th percentile of the requests is {p99:.0f} ms, above {args.within_ms:.0f}.")
    say("all of it worked")


if __name__ == "__main__":
    try:
        main()
    except NotAvailable as error:
        sys.exit(f"cannot start: {error}")
