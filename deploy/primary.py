#!/usr/bin/env python3
"""Say which PostgreSQL may be written to: beside each HAProxy, so that it leads to no primary of the past.

    primary.py [--listen 127.0.0.1:8008] --state FILE one=postgresql://haproxy@10.0.0.1/postgres two=…

`GET /one` is 200 if the server `one` is a primary and none was newer, ever; otherwise 503. `GET /` tells what is known.

A promotion begins a new timeline, with a higher number. The highest one that was seen, and the server that it was seen
at, are in FILE before anybody is led there. So an old primary that comes back as a primary gets no connection, even
while the new one is gone and after a restart of this program. Where FILE is missing nobody gets one until every server
has answered once. To go back to an older timeline after all, and lose what came later, delete FILE.

Needs Python 3.11 and psycopg 3 (Debian: python3-psycopg).
"""

import argparse
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg

EVERY_SECONDS = 0.5
FRESH_SECONDS = 3.0  # a server that has not answered for so long is as good as gone
PATIENCE = {
    "connect_timeout": 2,
    "options": "-c statement_timeout=1000",
    "tcp_user_timeout": 2_000,
    "keepalives_idle": 1,
    "keepalives_interval": 1,
    "keepalives_count": 2,
}
# 0 for a standby. Not pg_control_checkpoint(): that one is behind until the first checkpoint after a promotion.
TIMELINE = "SELECT CASE WHEN pg_is_in_recovery() THEN '0' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"


@dataclass(frozen=True)
class Reading:
    timeline: int  # that the server writes to; 0: it is a standby
    at: float  # monotonic, when it was asked

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.at < FRESH_SECONDS


def ask(url: str) -> Reading:
    """Raises psycopg.Error."""
    at = time.monotonic()
    with psycopg.connect(url, autocommit=True, **PATIENCE) as connection:  # type: ignore[arg-type]
        row = connection.execute(TIMELINE).fetchone()
    return Reading(int(row[0], 16) if row else 0, at)


class Watch:
    """The servers' last answers, and the newest primary that there ever was."""

    def __init__(self, names: list[str], state: Path) -> None:
        self.names, self.state = names, state
        self.readings: dict[str, Reading] = {}
        self.refused: set[tuple[str, int]] = set()  # that were logged
        self.lock = threading.Lock()
        self.newest, self.owner = self._kept()

    def _kept(self) -> tuple[int, str]:
        """Return the timeline and the server that FILE names. Raises ValueError, since guessing could cost messages."""
        if not self.state.exists():
            return 0, ""
        kept = json.loads(self.state.read_text())
        return int(kept["timeline"]), str(kept["server"])

    def _keep(self, timeline: int, server: str) -> None:
        fresh = self.state.with_name(f"{self.state.name}.new")
        with fresh.open("w") as file:
            json.dump({"timeline": timeline, "server": server}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.state)
        folder = os.open(self.state.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.newest, self.owner = timeline, server
        log(f"the primary is {server}, timeline {timeline}")

    def heard(self, name: str, reading: Reading) -> None:
        with self.lock:
            self.readings[name] = reading
            if self.owner or len(self.readings) == len(self.names):
                self._decide()

    def _decide(self) -> None:
        """Remember a newer primary. Two that both are the newest at once: neither is written to."""
        primaries = {name: one.timeline for name, one in self.readings.items() if one.timeline and one.is_fresh}
        highest = max(primaries.values(), default=0)
        candidates = [name for name, timeline in primaries.items() if timeline == highest]
        if highest > self.newest and len(candidates) == 1:
            self._keep(highest, candidates[0])
        for name, timeline in primaries.items():
            if not self._is_newest(name, timeline) and (name, timeline) not in self.refused:
                self.refused.add((name, timeline))
                log(f"{name} says that it is a primary, timeline {timeline}: refused. {self._newest()}")

    def _newest(self) -> str:
        return f"The newest is {self.owner}, timeline {self.newest}" if self.owner else "Another says so as well"

    def _is_newest(self, name: str, timeline: int) -> bool:
        return bool(timeline) and (timeline, name) == (self.newest, self.owner)

    def may_be_written_to(self, name: str) -> bool:
        with self.lock:
            reading = self.readings.get(name)
            return reading is not None and reading.is_fresh and self._is_newest(name, reading.timeline)

    def as_json(self) -> dict[str, object]:
        with self.lock:
            now = time.monotonic()
            servers = {
                name: {"timeline": one.timeline, "answered_ms_ago": round((now - one.at) * 1000)}
                for name, one in self.readings.items()
            }
            return {"primary": self.owner, "timeline": self.newest, "servers": servers}


def follow(watch: Watch, name: str, url: str) -> None:
    """Ask one server for ever; one that hangs keeps nobody else."""
    is_there = None
    while True:
        try:
            watch.heard(name, ask(url))
            error = ""
        except (psycopg.Error, OSError) as failure:
            error = str(failure).strip() or type(failure).__name__
        if is_there is not (not error):
            is_there = not error
            log(f"{name} answers" if is_there else f"{name} is away: {error}")
        time.sleep(EVERY_SECONDS)


def handler(watch: Watch) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            name = self.path.strip("/")
            if name and name not in watch.names:
                self._answer(404, {"error": "no such server"})
            else:
                self._answer(200 if not name or watch.may_be_written_to(name) else 503, watch.as_json())

        do_OPTIONS = do_HEAD = do_GET

        def _answer(self, status: int, content: dict[str, object]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Answer


def log(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def server_of(word: str) -> tuple[str, str]:
    name, equals, url = word.partition("=")
    if not (equals and url and name.replace("-", "").replace("_", "").isalnum()):
        raise argparse.ArgumentTypeError(f"{word!r} is not NAME=URL")
    return name, url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:8008", metavar="ADDRESS:PORT")
    parser.add_argument("--state", type=Path, required=True, metavar="FILE")
    parser.add_argument("servers", nargs="+", type=server_of, metavar="NAME=URL", help="the name is HAProxy's")
    options = parser.parse_args()
    servers = dict(options.servers)
    if len(servers) < len(options.servers):
        parser.error("a name is given twice")
    try:
        watch = Watch(list(servers), options.state)
    except (ValueError, KeyError, TypeError) as error:
        parser.error(f"{options.state} is no state of this program ({error}): say by hand which server is the newest")
    for name, url in servers.items():
        threading.Thread(target=follow, args=(watch, name, url), daemon=True).start()
    address, _, port = options.listen.rpartition(":")
    server = ThreadingHTTPServer((address, int(port)), handler(watch))
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
