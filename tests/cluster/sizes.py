"""Many real sockets over the two hosts of the cluster: what one costs, what a message costs, and all of them at once.

    python -m tests.cluster.sizes [--sockets 20000] [--json FILE]

The sockets are opened through HAProxy (three processes of it: one has descriptors for fewer), by people with tokens,
and `resume`. Then: messages to a group of a thousand people, messages between two people; HAProxy is killed, so that
everybody is cut off at once and comes back with the back-off of the contract; one host is killed.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jwt

from benchmarks.servers import cpu_seconds, resident_kib
from tests import live
from tests.cluster import network
from tests.cluster.crowd import Crowds
from tests.cluster.network import Host, NotHere
from tests.cluster.nodes import Balancer
from tests.cluster.run import APP_PORT, NOT_RUN, Cluster

SOCKETS_EACH, GROUP = 4, 1_000  # of a person, in one session; people
BALANCERS, CROWDS = 3, 4
GROUP_MESSAGES, PAIR_MESSAGES, REST_SECONDS = 20, 200, 20.0
BACK_SECONDS = 60.0
LIMITS = {
    "CHAT_SOCKETS_PER_SESSION": "0",
    "CHAT_SOCKETS_PER_USER": "0",
    "CHAT_HEARTBEAT_MS": "25000",
    "CHAT_HEARTBEAT_TIMEOUT": "60",
}


class Sizes:
    def __init__(self, cluster: Cluster, sockets: int) -> None:
        self.cluster, self.sockets = cluster, sockets
        self.found: dict[str, Any] = {"sockets": sockets, "cores": os.cpu_count()}

    def run(self) -> dict[str, Any]:
        cluster = self.cluster
        cluster._start_stores()
        cluster._start_applications()
        configuration = cluster.front.configuration.read_text()
        self.fronts = [cluster.front]
        for _ in range(BALANCERS - 1):
            self.fronts.append(Balancer(cluster.front.host, configuration, cluster.folder))
            self.fronts[-1].start()
        people, group = self._people()
        tokens = [person["access"] for person in people for _ in range(SOCKETS_EACH)]
        workers = [pid for app in cluster.apps for pid in app.workers()]
        self.say(f"{len(people)} people; server processes {workers}")
        self._one(people[0]["access"], group)  # what the first message loads is not the sockets'
        before, busy, began = [resident_kib(pid) for pid in workers], self._busy(workers), time.monotonic()
        self.crowds = Crowds((cluster.front.host.address, APP_PORT), tokens, CROWDS)
        counts = self.crowds.wait(self.sockets, within_s=300)
        took = time.monotonic() - began
        self.found |= {
            "opened_in_s": took,
            "cpu_ms_a_connect": (self._busy(workers) - busy) / self.sockets * 1e3,
            "answers_at_first": dict(counts.answers),
        }
        time.sleep(5)
        grown = sum(resident_kib(pid) for pid in workers) - sum(before)
        self.found["kib_a_socket"] = grown / self.sockets
        self.say("all open")
        busy = self._busy(workers)
        time.sleep(REST_SECONDS)
        self.found["cores_used_by_idle"] = (self._busy(workers) - busy) / REST_SECONDS
        self._messages(people, group, workers)
        self._herd()
        self._host_lost(workers)
        self.crowds.stop()
        return self.found

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def _busy(self, workers: list[int]) -> float:
        return sum(cpu_seconds(pid) for pid in workers)

    def _people(self) -> tuple[list[dict[str, str]], str]:
        count = self.sockets // SOCKETS_EACH
        made = subprocess.run(
            [sys.executable, "-m", "benchmarks.people", str(count), str(min(GROUP, count))],
            cwd=live.ROOT,
            env=self.cluster.apps[0].environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr[-2000:]
        found = json.loads(made.stdout.splitlines()[-1])
        return found["people"], found["group"]

    def _one(self, token: str, conversation: str, content: str = "x") -> None:
        server = live.Server(self.cluster.base, self.cluster.apps[0].server.process, self.cluster.apps[0].log)
        server.ok("POST", f"/api/chat/conversations/{conversation}/messages/", {"content": content}, token=token)

    def _messages(self, people: list[dict[str, str]], group: str, workers: list[int]) -> None:
        server = live.Server(self.cluster.base, self.cluster.apps[0].server.process, self.cluster.apps[0].log)
        other = jwt.decode(people[-1]["access"], options={"verify_signature": False})
        body = {"kind": "direct", "user_id": int(other["user_id"])}
        pair = server.ok("POST", "/api/chat/conversations/", body, token=people[-2]["access"])["uuid"]
        time.sleep(2)
        redis = self.cluster.redis.process.pid
        for name, token, conversation, messages, audience in (
            ("pair", people[-2]["access"], pair, PAIR_MESSAGES, 2 * SOCKETS_EACH),
            ("group", people[0]["access"], group, GROUP_MESSAGES, min(GROUP, len(people)) * SOCKETS_EACH),
        ):
            start = self.crowds.counts().delivered
            busy, of_redis, began = self._busy(workers), cpu_seconds(redis), time.monotonic()
            for number in range(messages):
                self._one(token, conversation, f"{name} {number}")
            expected = messages * audience
            deadline = time.monotonic() + 60
            while (arrived := self.crowds.counts().delivered - start) < expected and time.monotonic() < deadline:
                time.sleep(0.1)
            self.found[name] = {
                "messages": messages,
                "audience": audience,
                "delivered": arrived,
                "seconds": time.monotonic() - began,
                "cpu_ms_a_message": (self._busy(workers) - busy) / messages * 1e3,
                "redis_cpu_ms_a_message": (cpu_seconds(redis) - of_redis) / messages * 1e3,
            }
            assert arrived == expected, f"{name}: {arrived} of {expected} delivered"
            self.say(f"{name}: {arrived} deliveries")
        of_pair, of_group = self.found["pair"], self.found["group"]
        more = of_group["cpu_ms_a_message"] - of_pair["cpu_ms_a_message"]
        self.found["cpu_us_a_delivery"] = more / (of_group["audience"] - of_pair["audience"]) * 1e3

    def _herd(self) -> None:
        before = self.crowds.counts().answers
        for front in self.fronts:
            front.kill()
        began = time.monotonic()
        time.sleep(1)
        for front in self.fronts:
            front.start()
        self.found["herd"] = self._back(before, began)
        self.say(f"all back after {self.found['herd']['back_in_s']:.1f} s")

    def _host_lost(self, workers: list[int]) -> None:
        before = self.crowds.counts().answers
        self.cluster.apps[0].host.kill()
        began = time.monotonic()
        deadline = began + 30
        while self.crowds.counts().open == self.sockets and time.monotonic() < deadline:
            time.sleep(0.05)
        self.found["host_lost"] = self._back(before, began)
        self.say(f"one host lost: all at the other after {self.found['host_lost']['back_in_s']:.1f} s")

    def _back(self, before: Counter[str], began: float) -> dict[str, Any]:
        counts = self.crowds.wait(self.sockets, within_s=180)
        answers = dict(counts.answers - before)
        return {"back_in_s": counts.open_since - began, "answers": answers}


def faults(found: dict[str, Any]) -> list[str]:
    """Return what is not as it should be."""
    wrong = []
    if found["herd"]["back_in_s"] > BACK_SECONDS:
        wrong.append(f"the herd took {found['herd']['back_in_s']:.0f} s")
    if server_errors := {code: count for code, count in found["herd"]["answers"].items() if code.startswith("5")}:
        wrong.append(f"the herd met {server_errors}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=20_000)
    parser.add_argument("--json", default="")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        return network.inside([sys.executable, "-m", "tests.cluster.sizes", *sys.argv[1:], "--inside"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    network.build(live.ROOT / "var")
    clients_host = Host("clients", 50)
    network.enter("clients")
    cluster = Cluster(clients=0, scale=1, seed=0, apart=False, settings=LIMITS, clients_host=clients_host)
    cluster.folder = Path(tempfile.mkdtemp())
    sizes = Sizes(cluster, options.sockets)
    try:
        found = sizes.run()
    except AssertionError:
        print(json.dumps(sizes.found, indent=2))
        cluster._keep_logs()
        raise
    found["faults"] = faults(found)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        Path(options.json).write_text(text)
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NotHere as error:
        print(f"\n*** NOT RUN: the cluster: {error}\n", file=sys.stderr)
        sys.exit(NOT_RUN)
