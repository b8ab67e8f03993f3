"""Measure everything beside its peers in one run and write `benchmarks/results.md` with its plots.

    python -m benchmarks.run [--quick] [--only http,fanout,idle,growth,memory]

Servers, PostgreSQL and Valkey share the first core, the load has the second. Other work on the machine changes the
figures; the ratios are of rounds that took turns, so that it falls on all alike.
"""

import argparse
import json
import os
import platform
import statistics
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
CORE = {0}
# Requests a second on one core, and as a ratio to the best stock server (for the list, allauth's).
HTTP_AIMS = {"me": (2_000, 2.8), "verify": (1_800, 3.0), "refresh": (1_000, 5.8), "sessions": (1_200, 10.0)}
HTTP_AIMS["login"] = (400, 1.0)


def http(quick: bool) -> list[str]:
    windows = [1, 16] if quick else [1, 4, 16, 64]
    found = http_calls.run(windows=windows, rounds=1 if quick else 3, seconds=2)
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


def fan_out(quick: bool) -> list[str]:
    names = ("Alviar", "bare websockets", "Channels chat")
    lines = [
        "## Fan-out",
        "",
        "Deliveries a second to one conversation; with one message under way also the time until its sender sees it.",
        "",
        f"| members | under way | {' | '.join(names)} | Alviar / bare | ms |",
        "|--:|--:|--:|--:|--:|--:|--:|",
    ]
    shown: dict[str, dict[str, float]] = {}
    for members in (50,) if quick else (50, 200, 1_000):
        for window, row in _fan_out(members, quick).items():
            shown[f"{members:,}, {window} under way"] = row
            figures = " | ".join(f"{row[name]:,.0f}" for name in names)
            wait = f"{members / row['Alviar'] * 1000:.1f}" if window == 1 else ""
            ratio = row["Alviar"] / row["bare websockets"]
            lines.append(f"| {members:,} | {window} | {figures} | {ratio:.2f} | {wait} |")
    _plot("fanout", "Fan-out", "deliveries/s", shown)
    return [*lines, "", "![Fan-out](plots/fanout.svg)", ""]


def _fan_out(members: int, quick: bool) -> dict[int, dict[str, float]]:
    """Return deliveries a second by window and server."""
    found = {}
    with ExitStack() as stack:
        stack.enter_context(on_core())
        running = [
            stack.enter_context(servers.alviar(people=members, group=members)),
            stack.enter_context(servers.bare_websockets()),
            stack.enter_context(servers.channels_chat()),
        ]
        os.sched_setaffinity(0, LOAD)
        for window in (1, 16) if quick else (1, 4, 16, 128):
            rates: dict[str, list[float]] = {one.name: [] for one in running}
            for _ in range(1 if quick else 3):
                for one in running:
                    under_way = min(window, 16) if one.name == "Channels chat" else window
                    rates[one.name].append(fanout.measure(one, members, 2, under_way)[0])
            found[window] = {name: statistics.median(each) for name, each in rates.items()}
    return found


def idle(quick: bool) -> list[str]:
    people = (500 if quick else 5_000) // idle_sockets.PER_PERSON
    sockets = people * idle_sockets.PER_PERSON
    lines = ["## Idle sockets", "", f"{sockets:,} sockets of {people:,} people.", ""]
    lines += ["| | KiB a socket | connects/s | connects/CPU s |", "|---|--:|--:|--:|"]
    for start in (lambda: servers.alviar(people=people), servers.bare_websockets, servers.channels_chat):
        with on_core(), start() as server:
            os.sched_setaffinity(0, LOAD)
            tokens = [person["access"] for person in server.people] * idle_sockets.PER_PERSON or ["token"] * sockets
            size, rate, by_cpu = idle_sockets.measure(server, tokens)
        lines.append(f"| {server.name} | {size:.1f} | {rate:,.0f} | {by_cpu:,.0f} |")
    return [*lines, ""]


def growth(quick: bool) -> list[str]:
    rows = 30_000 if quick else 1_000_000
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


LOAD = {1} if (os.cpu_count() or 1) > 1 else {0}


class on_core:
    """Start servers on the first core: children inherit where this process may run."""

    def __enter__(self) -> None:
        self.before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, CORE)

    def __exit__(self, *error: object) -> None:
        os.sched_setaffinity(0, self.before)


def _plot(name: str, title: str, unit: str, groups: dict[str, dict[str, float]]) -> None:
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / f"{name}.svg").write_text(plots.bars(title, unit, groups))


PARTS: dict[str, Callable[[bool], list[str]]] = {
    "http": http,
    "fanout": fan_out,
    "idle": idle,
    "growth": growth,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and small sizes: does it run at all?")
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    wanted = options.only.split(",")
    before = os.getloadavg()[0]
    lines = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, {platform.system()} {platform.release()}. Load of the machine as it began: "
        f"{before:.1f}.",
        "Written by `make benchmarks`. Servers and stores on one core, the load on the other.",
        "",
    ]
    bar = Progress(len(wanted))
    for name in wanted:
        lines += PARTS[name](options.quick)
        bar.step(name)
    notes = FOLDER / "below-aim.md"
    (FOLDER / "results.md").write_text("\n".join([*lines, notes.read_text() if notes.exists() else ""]))


if __name__ == "__main__":
    main()
