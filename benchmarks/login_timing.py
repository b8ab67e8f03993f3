"""Does the time of a refused login tell whether the account exists?

    python -m benchmarks.login_timing [--calls 200] [--cpu]

Wrong passwords for a known and an unknown name, by turns, in this process (no network to hide a difference), against a
fresh SQLite database, or the one of `python -m tests.servers python -m benchmarks.login_timing`. Rates are off and the
counters are cleared between calls. Exits 1 where the medians differ by more than 10 %.
"""

import argparse
import statistics
import sys
import time

from benchmarks.accounts_setup import database


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--cpu", action="store_true", help="this thread's CPU time, for a machine that does other work")
    options = parser.parse_args()
    calls, clock = options.calls, time.thread_time if options.cpu else time.perf_counter
    with database():
        from rest_framework.test import APIClient

        from users.models import LoginCounter, User

        User.objects.create_user("alice", email="alice@example.com", password="a good password 1")
        api = APIClient()
        pairs = {
            "name": ("alice", "nobody"),
            "e-mail": ("alice@example.com", "nobody@example.com"),
        }
        worst = 0.0
        for kind, identifiers in pairs.items():
            taken: dict[str, list[float]] = {identifier: [] for identifier in identifiers}
            for turn in range(calls + 10):
                for identifier in identifiers if turn % 2 else identifiers[::-1]:
                    LoginCounter.objects.all().delete()
                    started = clock()
                    answer = api.post("/api/auth/login/", {"username": identifier, "password": "wrong"})
                    if turn >= 10:  # the first ones warm up
                        taken[identifier].append(clock() - started)
                    assert answer.status_code == 401, answer.data
            known, unknown = (statistics.median(taken[identifier]) * 1000 for identifier in identifiers)
            difference = (known - unknown) / unknown
            worst = max(worst, abs(difference))
            print(
                f"{kind:7} known {known:6.2f} ms   unknown {unknown:6.2f} ms   {difference:+.1%}   ({calls} calls each)"
            )
    return 1 if worst > 0.1 else 0


if __name__ == "__main__":
    sys.exit(main())
