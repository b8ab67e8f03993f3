"""Says whether the PostgreSQL of this host may be written to: `python -m tests.cluster.primary PORT OWN PEER…` (URLs).

`GET /` is 200 if it is a primary and no peer is a newer one (a higher timeline), else 503: what HAProxy asks of Patroni
on port 8008. An old primary that comes back after a promotion thus gets no connection.
"""

import sys
from concurrent.futures import ThreadPoolExecutor, wait
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

TIMELINE = "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"


def timeline(url: str) -> str:
    """Return the timeline that the server writes to, as eight hexadecimal digits; empty if it writes to none."""
    try:
        with psycopg.connect(url, connect_timeout=1, options="-c statement_timeout=500") as connection:
            return str(connection.execute(TIMELINE).fetchone()[0])  # type: ignore[index]
    except psycopg.Error:
        return ""


def main(port: str, own: str, *peers: str) -> None:
    pool = ThreadPoolExecutor(32)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = [pool.submit(timeline, url) for url in (own, *peers)]
            wait(asked, timeout=1)  # a peer that is cut off does not answer: it must not cost us the check
            mine, *others = [one.result() if one.done() else "" for one in asked]
            self.send_response(200 if mine and mine >= max(others, default="") else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("", int(port)), Answer).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
