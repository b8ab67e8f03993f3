"""Measure everything beside its peers in one run and write `benchmarks/results.md` with its plots.

    python -m benchmarks.run [--quick] [--only http,fanout,idle,growth,memory] [--results FILE]

Servers, PostgreSQL and Valkey share the first core, the load has the second. Other work on the machine changes the
figures; the ratios are of rounds that took turns, so that it falls on all alike.
"""

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import fanout, http_calls, idle_sockets, plots, servers
from benchmarks.progress import Progress

FOLDER = Path(__file__).resolve().parent
PLOTS = FOLDER / "plots"
# Requests a second on one core, and as a ratio to the best stock server (for the list, allauth's).
HTTP_AIMS = {"me": (2_000, 2.8), "verify": (1_800, 3.0), "refresh": (1_000, 5.8), "sessions": (1_200, 10.0)}
HTTP_AIMS["login"] = (400, 1.0)


def http(quick: bool) -> list[str]:
    windows = [1, 16] if quick else [1, 4, 16, 64]
    found = http_calls.run(windows=windows, rounds=1 if quick else 3, seconds=1)
    names = ["Alviar", "simplejwt, gunicorn", "simplejwt, uvicorn", "allauth"]
    lines = [
        "## HTTP",
        "",
        "Requests a second; in brackets what half of the clients wait at most, and all but one in a hundred (ms), and",
        "the requests in a second of the server process's own time. The ratios are to the best of the stock servers,",
        "by the clock and by the process's own time.",
        "",
        f"| call | at a time | {' | '.join(names)} | by the clock | by own time | aim |",
        "|---|--:|" + "--:|" * (len(names) + 3),
    ]
    for call, by_window in found.items():
        for window, rows in by_window.items():
            peers = [row for name, row in rows.items() if name != "Alviar"]
            ratios = [rows["Alviar"][key] / max(peer[key] for peer in peers) for key in ("rate", "by_cpu")]
            shown = " | ".join(_row(rows[name]) if name in rows else "" for name in names)
            rate, aim = HTTP_AIMS[call]
            lines.append(f"| {call} | {window} | {shown} | {ratios[0]:.2f} | {ratios[1]:.2f} | {rate:,}/s, {aim} |")
    _plot("http", "HTTP, 16 at a time", "requests/s", {call: _rates(row["16"]) for call, row in found.items()})
    return [*lines, "", "![HTTP](plots/http.svg)", ""]


def _row(row: dict[str, float]) -> str:
    return f"{row['rate']:,.0f} ({row['p50']:.1f}, {row['p99']:.1f}; {row['by_cpu']:,.0f})"


def _rates(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: row["rate"] for name, row in rows.items()}


FAN_OUT_AIMS = {(50, 16): 1.0, (200, 8): 1.0, (1_000, 4): 1.0, (200, 1): 0.5}  # as a ratio to the bare server


def fan_out(quick: bool) -> list[str]:
    names = ("Alviar", "bare websockets", "Channels chat", "Channels + PostgreSQL")
    sizes = {50: (1, 16)} if quick else {50: (1, 4, 16, 128), 200: (1, 4, 8, 16, 128), 1_000: (1, 4, 16)}
    lines = [
        "## Fan-out",
        "",
        "Deliveries a second to one conversation; in brackets how long half of the messages, and all but one in a",
        "hundred, take back to their sender (ms), and deliveries in a second of the server process's own time. Alviar",
        "and the last peer store each message first, the other two nothing.",
        "",
        f"| members | under way | {' | '.join(names)} | Alviar / bare | by own time | Alviar / stored | aim |",
        "|--:|--:|" + "--:|" * (len(names) + 4),
    ]
    rates: dict[str, dict[str, float]] = {}
    waits: dict[str, dict[str, float]] = {}
    bar = Progress(sum(len(windows) for windows in sizes.values()))
    for members, windows in sizes.items():
        with ExitStack() as stack:
            running = fanout.started(stack, members)
            fanout.compare(running, members, 4, rounds=1, seconds=0.5)  # warm
            for window in windows:
                found = fanout.compare(running, members, window, rounds=1 if quick else 3, seconds=1)
                row = {name: fanout.median(rounds) for name, rounds in found.items()}
                label = f"{members:,}, {window} under way"
                rates[label] = {name: row[name].rate for name in names}
                waits[label] = {name: row[name].p50 for name in names}
                shown = " | ".join(
                    f"{row[name].rate:,.0f} ({row[name].p50:.1f}, {row[name].p99:.1f}; {row[name].by_cpu:,.0f})"
                    for name in names
                )
                ours, bare, stored = row["Alviar"], row["bare websockets"], row["Channels + PostgreSQL"]
                ratios = (
                    f"{ours.rate / bare.rate:.2f} | {ours.by_cpu / bare.by_cpu:.2f} | {ours.rate / stored.rate:.1f}"
                )
                aim = FAN_OUT_AIMS.get((members, window), "")
                lines.append(f"| {members:,} | {window} | {shown} | {ratios} | {aim} |")
                bar.step(label)
    _plot("fanout", "Fan-out", "deliveries/s", rates)
    _plot("fanout-waits", "Fan-out: until the sender has its message back, half of them", "ms", waits)
    more = ["", "The chats of Channels have fewer under way where they would need half a minute to deliver them."]
    return [*lines, *more, "", "![Fan-out](plots/fanout.svg)", "", "![Waits](plots/fanout-waits.svg)", ""]


def idle(quick: bool) -> list[str]:
    sockets = 500 if quick else 5_000
    found = idle_sockets.compare(sockets, idle_s=5 if quick else 20)
    people = sockets // idle_sockets.PER_PERSON
    lines = ["## Idle sockets", "", f"{sockets:,} sockets of {people:,} people.", ""]
    lines += ["| | KiB a socket | connects/s | connects/CPU s | of a core while idle |", "|---|--:|--:|--:|--:|"]
    for name, row in found.items():
        lines.append(f"| {name} | {row.kib:.1f} | {row.rate:,.0f} | {row.by_cpu:,.0f} | {row.cores:.3f} |")
    connects = {name: row.by_cpu for name, row in found.items()}
    sizes = {name: row.kib for name, row in found.items()}
    _plot("idle", "Idle sockets", "connects/CPU s", {"connects/CPU s": connects})
    _plot("idle-memory", "Idle sockets", "KiB each", {"KiB each": sizes})
    return [*lines, "", "![Connects](plots/idle.svg)", "", "![Memory](plots/idle-memory.svg)", ""]


def growth(quick: bool) -> list[str]:
    rows = 30_000 if quick else 200_000
    lines = [
        "## Growth",
        "",
        f"The same call beside 10,000 and {rows:,} messages, events and ended sessions: wall time, ms.",
        "",
    ]
    with servers.postgresql() as database, tempfile.TemporaryDirectory() as folder:
        for name, extra in (("PostgreSQL", {"DATABASE_URL": database.url}), ("SQLite", {})):
            file = f"{folder}/{name}.json"
            command = [sys.executable, "-m", "benchmarks.growth", "--rows", str(rows), "--json", file]
            subprocess.run(
                command, cwd=servers.ROOT, env={**os.environ, **extra}, check=True, stdout=subprocess.DEVNULL
            )
            lines += growth_table(name, json.loads(Path(file).read_text()))
    return lines


def growth_table(name: str, found: dict[str, Any]) -> list[str]:
    lines = [f"| {name} | 10,000 | {found['rows']:,} | ratio | beside `me` |", "|---|--:|--:|--:|--:|"]
    machine = found["many"]["me"] / found["few"]["me"]
    for call, few in found["few"].items():
        ratio = found["many"][call] / few
        lines.append(f"| {call} | {few:.2f} | {found['many'][call]:.2f} | {ratio:.2f} | {ratio / machine:.2f} |")
    return [*lines, ""]


def memory(quick: bool) -> list[str]:
    with servers.alviar(people=1) as server:
        time.sleep(3)
        pids = json.loads((servers.ROOT / "var" / f"serve-{server.port}.json").read_text())
        figures = {"parent": pids["parent"], "server process, idle": server.pid, "task worker": pids["tasks"]}
        lines = ["## Memory", "", "| of `make serve` | MB (PSS) |", "|---|--:|"]
        lines += [f"| {name} | {_pss_mb(pid):.0f} |" for name, pid in figures.items()]
    return [*lines, ""]


def _pss_mb(pid: int) -> float:
    line = next(row for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if row.startswith("Pss:"))
    return int(line.split()[1]) / 1024


PARTS: dict[str, Callable[[bool], list[str]]] = {
    "http": http,
    "fanout": fan_out,
    "idle": idle,
    "growth": growth,
    "memory": memory,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and small sizes: does it run at all?")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--results", type=Path, default=FOLDER / "results.md", help="the page to write")
    options = parser.parse_args()
    wanted = options.only.split(",")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # also for the servers: a thousand sockets and more
    began, before, cores = datetime.now(UTC), os.getloadavg()[0], os.sched_getaffinity(0)
    lines: list[str] = []
    failed = []
    bar = Progress(len(wanted))
    for name in wanted:
        os.sched_setaffinity(0, cores)
        try:
            lines += PARTS[name](options.quick)
        except (Exception, SystemExit) as error:  # the other parts are worth their page
            failed.append(name)
            print(f"{name}: {error!r}", file=sys.stderr)
            lines += [f"## {name}", "", "This part failed.", ""]
        bar.step(name)
        notes = FOLDER / "below-aim.md"
        page = [*_head(began, before, quick=options.quick), *lines, notes.read_text() if notes.exists() else ""]
        options.results.write_text("\n".join(page))
    return 1 if failed else 0


def _head(began: datetime, load_before: float, *, quick: bool) -> list[str]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    return [
        "# Results",
        "",
        f"{began:%Y-%m-%d %H:%M} UTC, {minutes:.0f} minutes{' (--quick)' if quick else ''}. {platform.machine()}, "
        f"{model[1] if model else 'unknown processor'}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}.",
        f"Load of the machine as the run began {load_before:.1f}, as it ended {os.getloadavg()[0]:.1f}; the run itself",
        "makes about two. Where it is more, other work shared the cores: look at the ratios, and at those by own time.",
        "",
        "Written by `make benchmarks`: medians of three rounds in which the servers take turns. Servers and stores on",
        "one core, the load on the other.",
        "",
    ]


def _plot(name: str, title: str, unit: str, groups: dict[str, dict[str, float]]) -> None:
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / f"{name}.svg").write_text(plots.bars(title, unit, groups))


if __name__ == "__main__":
    sys.exit(main())
