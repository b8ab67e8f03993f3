"""All sockets of one process cut off at once: how long until all are back, and what they were answered meanwhile.

    python -m benchmarks.herd [--sockets 10000] [--ramp SECONDS]

The crowd of tests/cluster/crowd.py on the second core, Alviar with PostgreSQL and Valkey on the first. Each client
waits 10 s for `hello`, then comes back with the back-off of the contract, and sends `resume`.
"""

import argparse
import json
import os
import resource
import time
from collections import Counter

from benchmarks import servers
from tests.cluster.crowd import Counts, Crowds

PER_PERSON = 2
WITHIN_SECONDS = 180


def back(crowds: Crowds, server: servers.Running, sockets: int, began: float, before: Counts) -> dict[str, object]:
    busy = servers.cpu_seconds(server.pid)
    counts = crowds.wait(sockets, within_s=WITHIN_SECONDS)
    while (found := crowds.counts()).resumed - before.resumed < sockets and time.monotonic() - began < WITHIN_SECONDS:
        time.sleep(0.1)
    took = counts.open_since - began
    return {
        "back_in_s": round(took, 1),
        "resumed_in_s": round(time.monotonic() - began, 1),
        "server_cpu_s": round(servers.cpu_seconds(server.pid) - busy, 1),
        "answers": dict(found.answers - before.answers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--ramp", type=float, default=0.0, help="seconds over which the crowd comes at first")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # also for the server
    with servers.on_serving_core():
        running = servers.alviar(people=options.sockets // PER_PERSON)
        server = running.__enter__()
    try:
        tokens = [person["access"] for person in server.people] * PER_PERSON
        load = os.getloadavg()[0]
        began = time.monotonic()
        crowds = Crowds(("127.0.0.1", server.port), tokens, 1, ramp_s=options.ramp)
        first = back(crowds, server, options.sockets, began, Counts(answers=Counter()))
        time.sleep(3)
        before, began = crowds.counts(), time.monotonic()
        crowds.cut()
        time.sleep(0.1)
        again = back(crowds, server, options.sockets, began, before)
        crowds.stop()
    finally:
        running.__exit__(None, None, None)
    print(json.dumps({"sockets": options.sockets, "load": round(load, 1), "first": first, "again": again}, indent=2))


if __name__ == "__main__":
    main()
