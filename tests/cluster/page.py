"""`make cluster-long`: the long rehearsal, each engine, a run that must find losses, the sizes: benchmarks/cluster.md.

python -m tests.cluster.page [--sockets 20000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.plots import bars
from tests.cluster.run import NOT_RUN
from tests.cluster.stores import STORES
from tests.live import ROOT

PAGE, PLOTS = ROOT / "benchmarks" / "cluster.md", ROOT / "benchmarks" / "plots"
INTRODUCTION = """# A cluster that is broken in every part

Written by `make cluster-long` on {day}, on {cores} cores that PostgreSQL (twice), Valkey, HAProxy, the clients and four
server processes shared. [../docs/scaling.md](../docs/scaling.md) says what is built and what is required.
"""


def run(*words: str) -> tuple[int, str]:
    """Run `python -m tests.cluster.WORDS…`, show what it says and return its exit code and that."""
    command = [sys.executable, "-m", f"tests.cluster.{words[0]}", *words[1:]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as running:
        assert running.stdout is not None
        lines = []
        for line in running.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return running.returncode, "".join(lines)


def table(text: str) -> str:
    """Return the part of a run's output from its table on."""
    return text[text.find("phase ") :].rstrip()


def sizes_section(found: dict[str, Any]) -> str:
    pair, group, herd, lost = (found[name] for name in ("pair", "group", "herd", "host_lost"))
    return f"""
## {found["sockets"]:,} sockets over two hosts

| | |
|---|--:|
| opened, as they came over a minute | {found["opened_in_s"]:.0f} s |
| CPU of the server processes for a connect | {found["cpu_ms_a_connect"]:.2f} ms |
| memory of the server processes for a socket | {found["kib_a_socket"]:.1f} KiB |
| cores that all four use while nothing happens | {found["cores_used_by_idle"]:.2f} |
| CPU for a message between two ({pair["audience"]} sockets), wakes included | {pair["cpu_ms_a_message"]:.1f} ms |
| CPU for a message to {group["audience"]:,} sockets | {group["cpu_ms_a_message"]:.1f} ms |
| CPU for one more delivery | {found["cpu_us_a_delivery"]:.1f} µs |
| CPU of Valkey for a message, wakes to every process, rates included | {pair["redis_cpu_ms_a_message"]:.2f} ms |
| all cut off at once (HAProxy killed), all back after | {herd["back_in_s"]:.1f} s |
| answers to handshakes meanwhile | {_answers(herd)} |
| one host killed, everybody at the other after | {lost["back_in_s"]:.1f} s |
| answers to handshakes meanwhile | {_answers(lost)} |

What two processes carry of one cannot be said where all share {found["cores"]} cores.

![CPU](plots/cluster-cpu.svg)
"""


def _answers(found: dict[str, Any]) -> str:
    return ", ".join(f"{name}: {count:,}" for name, count in sorted(found["answers"].items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        latencies, sizes = Path(folder) / "latencies.json", Path(folder) / "sizes.json"
        codes = []
        code, long = run("run", "--long", "--json", str(latencies))
        if code == NOT_RUN:
            return code
        codes.append(code)
        engines = {}
        for name in STORES:
            code, engines[name] = run("run", "--wakes", name)
            codes.append(code)
        code, broken = run("run", "--broken", "--only", "steady")
        codes.append(code)
        code, _ = run("sizes", "--sockets", str(options.sockets), "--json", str(sizes))
        codes.append(code)
        parts = [INTRODUCTION.format(day=f"{datetime.now(UTC):%Y-%m-%d}", cores=os.cpu_count())]
        parts.append(f"\n## Faults\n\n```\n{table(long)}\n```\n\n![Latencies](plots/cluster-faults.svg)\n")
        parts.append("\n## Engines of three hosts\n")
        parts += [f"\n`--wakes {name}`:\n\n```\n{table(text)}\n```\n" for name, text in engines.items()]
        parts.append(f"\n## Without wakes and sweep\n\nIt must find losses, and does:\n\n```\n{table(broken)}\n```\n")
        if latencies.exists():
            figures = json.loads(latencies.read_text())
            (PLOTS / "cluster-faults.svg").write_text(bars("From sending to every device", "ms", figures))
        if sizes.exists():
            found = json.loads(sizes.read_text())
            parts.append(sizes_section(found))
            costs = {
                "a connect": {"ms": found["cpu_ms_a_connect"]},
                "a message to two": {"ms": found["pair"]["cpu_ms_a_message"]},
                f"a message to {found['group']['audience']:,}": {"ms": found["group"]["cpu_ms_a_message"]},
            }
            (PLOTS / "cluster-cpu.svg").write_text(bars("CPU of the server processes", "ms", costs))
        PAGE.write_text("".join(parts))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
