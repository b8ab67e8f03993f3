"""Kill, hang and cut off each part of a cluster in turn while people chat, and count what arrives.

    make cluster          under two minutes, for CI
    make cluster-long     longer phases, bad networks, two versions at once; writes benchmarks/cluster.md

In network namespaces of our own: two application hosts with two server processes and a task worker each, HAProxy in
front of them, Valkey, PostgreSQL with a synchronous standby behind a HAProxy of its own, and a host with the clients of
`make chaos`, whose count this is. The clocks of the two application hosts are 90 s apart. Without root, or where the
kernel has no namespaces, it says so and exits with 75.

`--broken`: no wake is heard, and the sweep that would mend it is off; the run must find losses, and passes if it does.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests import live, newcomer
from tests.chaos.run import World
from tests.cluster import network, nodes
from tests.cluster.network import Host, NotHere
from tests.cluster.nodes import AppHost, Balancer, DatabaseNode, RedisNode, WayToPrimary
from tests.cluster.stores import STORES, Store
from tests.servers import NotAvailable

NOT_RUN = 75
APP_PORT = 8000
APART_SECONDS = 90  # the clocks of the two application hosts
WAKES = ("redis", "postgresql", *STORES)
Phase = tuple[str, float, Callable[[], Awaitable[None]]]


@dataclass
class Cluster(World):
    long: bool = False
    broken: bool = False
    wakes: str = "redis"  # what carries the wakes: one of WAKES
    store: Store | None = None  # if that is an engine of three hosts
    apart: bool = True  # the second host has another clock, and a cable that can be slow
    settings: dict[str, str] = field(default_factory=dict)  # of the application, beside the usual
    clients_host: Host = field(kw_only=True)
    findings: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://{self.front.host.address}:{APP_PORT}"

    # --- Start --------------------------------------------------------------------------------------------------------

    async def _start(self, stack: AsyncExitStack) -> None:
        began = time.monotonic()
        try:
            await asyncio.to_thread(self._start_stores)
            await asyncio.to_thread(self._start_applications)
        except NotAvailable as error:
            raise NotHere(str(error)) from error
        except AssertionError as error:
            self._keep_logs()
            sys.exit(str(error))
        print(f"  the cluster stands after {time.monotonic() - began:.0f} s", flush=True)

    def _start_stores(self) -> None:
        pair = [Host("db1", 41), Host("db2", 42)]
        self.first, self.second = DatabaseNode(pair[0]), DatabaseNode(pair[1])
        self.databases = WayToPrimary(Host("databases", 40), pair, self.folder)
        self.redis = RedisNode(Host("redis1", 31), self.folder)
        self.redis.start()
        if self.wakes in STORES:
            hosts = [Host(f"{self.wakes}{number}", 60 + number) for number in (1, 2, 3)]
            self.store = STORES[self.wakes](hosts, self.folder)
            self.store.start()
            self.settings |= self.store.settings
        elif self.wakes == "postgresql":
            self.settings["WAKES_URL"] = "postgresql"
        self.first.start()
        self.second.follow(self.first)
        self.databases.start()
        self.primary, self.standby = self.first, self.second

    @property
    def database_url(self) -> str:
        return f"postgresql://postgres@{self.databases.host.address}:{nodes.POSTGRES_PORT}/alviar"

    @database_url.setter
    def database_url(self, value: str) -> None:
        pass

    def _start_applications(self) -> None:
        hosts = [Host("app1", 21), Host("app2", 22, slow=self.apart)]
        self.front = Balancer(Host("balancer", 10), nodes.in_front_of_applications(hosts, APP_PORT), self.folder)
        self.apps = [self._application(host, number) for number, host in enumerate(hosts, start=1)]
        self.front.start()
        self.apps[0].start()
        self.apps[0].wait()  # it makes the tables
        self.apps[1].start()
        self.apps[1].wait()
        # Through the balancer, both hosts.
        live.wait_until(self._is_ready)

    def _application(self, host: Host, number: int) -> AppHost:
        folder = self.folder / host.name
        folder.mkdir()
        settings = {
            "DJANGO_SETTINGS_MODULE": "tests.cluster.settings",
            "HOST": host.address,
            "PORT": str(APP_PORT + number),
            "ALLOWED_HOSTS": f"{self.front.host.address},{host.address},127.0.0.1",
            "PUBLIC_URL": self.base,
            "TRUSTED_PROXY_COUNT": "1",
            "CHAT_MESSAGES_PER_10S": "120",
            "CHAT_HEARTBEAT_MS": "3000",
            "CHAT_HEARTBEAT_TIMEOUT": "12",
            "DRAIN_SECONDS": "3",
        }
        if self.broken:
            settings |= {"CHAT_SWEEP_SECONDS": "3600", "CLUSTER_DEAF": "1"}
        if number == 2 and self.apart:
            settings["CLOCK_AHEAD_SECONDS"] = str(APART_SECONDS)
        settings |= self.settings
        redis_url = settings.pop("REDIS_URL", self.redis.url)
        environment = live.production(folder, database_url=self.database_url, redis_url=redis_url, **settings)
        return AppHost(host, environment, self.folder / f"{host.name}.log")

    def _is_ready(self) -> bool:
        server = live.Server(self.base, self.apps[0].server.process, self.apps[0].log)
        try:
            return server.get("/readyz")[0] == 200
        except OSError:
            return False

    def _keep_logs(self) -> None:
        kept = Path(os.environ.get("CLUSTER_LOGS") or "/tmp/alviar-cluster-logs")
        kept.mkdir(parents=True, exist_ok=True)
        for log in self.folder.glob("*.log"):
            (kept / log.name).write_bytes(log.read_bytes())
        for node in (self.first, self.second):
            (kept / f"{node.host.name}-log").write_bytes((node.folder / "log").read_bytes())
        print(f"the logs: {kept}")

    # --- Faults -------------------------------------------------------------------------------------------------------

    def _phases(self) -> list[Phase]:
        app1, app2 = self.apps
        phases: list[Phase] = [
            ("steady", 2, self._nothing),
            ("process killed", 4, self._kill_process),
            ("host hung", 7, lambda: self._for_a_while(app1.host.hang, app1.host.resume)),
            ("host cut off", 7, lambda: self._for_a_while(app2.host.cut, app2.host.heal)),
            ("host killed", 6, self._kill_host),
            ("Redis killed, old data", 5, self._redis_with_old_data),
            ("Redis hung", 5, lambda: self._for_a_while(self.redis.host.hang, self.redis.host.resume)),
            ("Redis cut off", 5, lambda: self._for_a_while(self.redis.host.cut, self.redis.host.heal)),
            ("balancer killed", 4, self._kill_balancer),
            ("standby hung", 5, self._hang_standby),
            ("primary killed", 6, self._kill_primary),
            ("primary cut off, back", 8, self._cut_primary),
        ]
        if self.store:
            # The short run leaves what does not concern the engine to the run with one Redis.
            kept = phases if self.long else phases[:1]
            if "REDIS_URL" in self.settings:  # nothing uses the one Redis
                kept = [phase for phase in kept if not phase[0].startswith("Redis")]
            phases = [*kept, *self._phases_of(self.store)]
        if self.long:
            clients = self.clients_host
            databases = self.databases.host
            redis = self.store.hosts[0] if self.store and "REDIS_URL" in self.settings else self.redis.host
            phases += [
                ("200 ms more each way", 12, lambda: self._for_a_while(lambda: app2.host.delay(200), app2.host.heal)),
                ("30 % lost at a host", 12, lambda: self._for_a_while(lambda: app2.host.lose(30), app2.host.heal)),
                ("30 % lost at clients", 12, lambda: self._for_a_while(lambda: clients.lose(30), clients.heal)),
                ("half-open host", 12, lambda: self._for_a_while(app2.host.half_open, app2.host.heal, 0.9)),
                ("half-open clients", 12, lambda: self._for_a_while(clients.half_open, clients.heal, 0.9)),
                (
                    "host without database",
                    8,
                    lambda: self._for_a_while(lambda: app2.host.cut(databases), app2.host.heal),
                ),
                ("host without Redis", 8, lambda: self._for_a_while(lambda: app2.host.cut(redis), app2.host.heal)),
                ("two versions", 12, self._two_versions),
            ]
        return [(name, seconds * self.scale, fault) for name, seconds, fault in phases if self.only in name]

    def _phases_of(self, store: Store) -> list[Phase]:
        """Kill, hang and cut off each host of the engine in turn."""
        phases: list[Phase] = []
        for host in store.hosts:
            ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
                "killed": (partial(store.kill, host), partial(store.start_on, host)),
                "hung": (host.hang, host.resume),
                "cut off": (host.cut, host.heal),
            }
            for how, (begin, end) in ways.items():
                phases.append((f"{host.name} {how}", 6, partial(self._break_store, store, begin, end)))
        return phases

    async def _break_store(self, store: Store, begin: Callable[[], object], end: Callable[[], object]) -> None:
        await self._for_a_while(begin, end, 0.7)
        await asyncio.to_thread(store.heal)

    async def _for_a_while(self, begin: Callable[[], object], end: Callable[[], object], share: float = 0.6) -> None:
        await asyncio.to_thread(begin)
        await asyncio.sleep(self.seconds * share)
        await asyncio.to_thread(end)

    async def _kill_process(self) -> None:
        os.kill(self.apps[0].workers()[0], signal.SIGKILL)

    async def _kill_host(self) -> None:
        app = self.apps[0]
        app.host.kill()
        await asyncio.to_thread(app.server.process.wait)
        app.start()
        await asyncio.to_thread(app.wait)

    async def _two_versions(self) -> None:
        """Run the code before the newest migrations on one host, and this code on the other, on the tables of now."""
        commit = newcomer.previous(live.ROOT)
        if commit is None:
            self.findings.append("two versions: NOT RUN, this clone has no older commit")
            return
        older = self.folder / "older"
        older.mkdir()
        archive = subprocess.run(["git", "archive", commit], cwd=live.ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(older)], input=archive, check=True)
        now = self.apps[0]
        environment = now.environment | {"DJANGO_SETTINGS_MODULE": "config.settings"}
        before = AppHost(now.host, environment, self.folder / "older.log", root=older)
        for stopped, started in ((now, before), (before, now)):
            await asyncio.to_thread(stopped.stop)
            started.start()
            await asyncio.to_thread(started.wait)
            await asyncio.sleep(self.seconds * 0.3)
        self.findings.append(f"two versions: app1 ran {commit[:12]}, app2 this code")

    async def _redis_with_old_data(self) -> None:
        await asyncio.to_thread(self.redis.keep)
        await asyncio.sleep(1)
        await asyncio.to_thread(self.redis.kill)
        await asyncio.sleep(self.seconds * 0.3)
        await asyncio.to_thread(self.redis.start)

    async def _kill_balancer(self) -> None:
        await asyncio.to_thread(self.front.kill)
        await asyncio.sleep(1)
        self.front.start()

    async def _hang_standby(self) -> None:
        """Commits wait for it; then, as a cluster manager would, let them wait for nobody."""
        await asyncio.to_thread(self.standby.host.hang)
        await asyncio.sleep(self.seconds * 0.4)
        await asyncio.to_thread(self.primary.synchronous, "")
        await asyncio.sleep(self.seconds * 0.3)
        await asyncio.to_thread(self.standby.host.resume)
        await asyncio.to_thread(self.primary.wait_for_standbys, 1)
        await asyncio.to_thread(self.primary.synchronous, "*")

    async def _kill_primary(self) -> None:
        await asyncio.to_thread(self.primary.kill)
        await self._promote()
        await asyncio.to_thread(self.standby.follow, self.primary)

    async def _cut_primary(self) -> None:
        """Cut the primary off, promote the standby, and let the old one come back as the primary that it was."""
        await asyncio.to_thread(self.primary.host.cut)
        await self._promote()
        old = self.standby
        await asyncio.to_thread(old.host.heal)
        before = await asyncio.to_thread(old.execute, "SELECT count(*), max(id) FROM chat_message")
        await asyncio.sleep(self.seconds * 0.2)
        await asyncio.to_thread(self.primary.host.cut)  # the old one is now the only primary that answers
        await asyncio.sleep(self.seconds * 0.5)
        await asyncio.to_thread(self.primary.host.heal)
        after = await asyncio.to_thread(old.execute, "SELECT count(*), max(id) FROM chat_message")
        self._require(before == after, f"the old primary was written to: {before} {after}")
        await asyncio.to_thread(old.follow, self.primary)

    async def _phase(self, name: str, seconds: float, fault: Callable[[], Awaitable[None]]) -> None:
        try:
            await super()._phase(name, seconds, fault)
        except Exception:
            self._keep_logs()
            raise

    async def _promote(self) -> None:
        """Make the standby the primary, and measure until a message is stored again."""
        self.primary, self.standby = self.standby, self.primary
        await asyncio.to_thread(self.primary.promote)
        promoted_at = time.monotonic()
        acked = len(self.ledger.acked)
        most_s = 10 if self.long else live.START_SECONDS  # the short run shares its machine
        while len(self.ledger.acked) == acked and time.monotonic() - promoted_at <= most_s:
            await asyncio.sleep(0.05)
        took = time.monotonic() - promoted_at
        self.findings.append(f"{self.ledger.phase}: first ack {took:.1f} s after the promotion")
        self._require(took <= most_s, f"first ack {took:.1f} s after the promotion")

    def _require(self, holds: bool, why: str) -> None:
        if not holds:
            self.faults.append(f"[{self.ledger.phase}] {why}")

    # --- The count ----------------------------------------------------------------------------------------------------

    def _report(self, settled_in: float | None) -> int:
        code = super()._report(settled_in)
        for text in self.findings:
            print(f"  {text}")
        for text in self.faults:
            print(f"  FAULT {text}")
        return code or bool(self.faults)

    def figures(self) -> dict[str, dict[str, float]]:
        """Return milliseconds from sending to a device, of each phase."""
        found = {}
        for phase, unsorted in self.ledger.latencies.items():
            times = sorted(unsorted)
            found[phase] = {
                "p50": times[len(times) // 2] * 1000,
                "p99": times[min(len(times) - 1, int(len(times) * 0.99))] * 1000,
            }
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--broken", action="store_true", help="no wakes, no sweep: passes if losses are found")
    parser.add_argument("--clients", type=int, default=0)
    parser.add_argument("--only", default="", help="the phases with this in their name")
    parser.add_argument("--wakes", choices=WAKES, default="redis", help="what carries the wakes")
    parser.add_argument("--json", default="", help="write the phases' latencies to this file")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        return network.inside([sys.executable, "-m", "tests.cluster.run", *sys.argv[1:], "--inside"])
    random.seed(options.seed)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    network.build(live.ROOT / "var")
    clients_host = Host("clients", 50)
    network.enter("clients")
    clients = options.clients or (100 if options.long else 40)
    world = Cluster(
        clients=clients,
        scale=1.5 if options.long else 1.0,
        seed=options.seed,
        only=options.only,
        long=options.long,
        broken=options.broken,
        wakes=options.wakes,
        clients_host=clients_host,
    )
    print(f"{clients} clients, 2 hosts with 2 server processes each, seed {options.seed}", flush=True)
    code = asyncio.run(world.run())
    if options.json:
        Path(options.json).write_text(json.dumps(world.figures()))
    if options.broken:
        print("as it should be: without wakes and sweep, losses are found" if code else "LOSSES WERE NOT FOUND")
        return 0 if code else 1
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotHere as error:
        print(f"\n*** NOT RUN: the cluster: {error}\n", file=sys.stderr)
        sys.exit(NOT_RUN)
