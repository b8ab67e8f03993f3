"""All Prometheus metrics, declared once (docs/metrics.md) and imported by the code that counts.

With several processes each writes into a file of its own (`PROMETHEUS_MULTIPROC_DIR`, set by `config/processes.py`),
and a scrape of any of them sums all. The file is named after the process's place, not its id: a replacement goes on
counting where what it replaced has stopped, and no figure ever goes down.
"""

import os

from prometheus_client import Counter, Gauge, Histogram, values

IS_SHARED = bool(os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
if IS_SHARED:
    _name = os.environ.get("ALVIAR_METRICS_NAME") or f"p{os.getpid()}"
    values.ValueClass = values.MultiProcessValue(lambda: _name)  # type: ignore[no-untyped-call]


def _gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
    """Declare a gauge that is the sum over the living processes."""
    return Gauge(name, text, labels, multiprocess_mode="livesum")


# --- HTTP ---
REQUESTS = Counter("alviar_http_requests_total", "Requests answered.", ["method", "path", "status"])
REQUEST_SECONDS = Histogram(
    "alviar_http_seconds",
    "From the first byte of a request to its answer, waiting for a thread included.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HASHING = _gauge("alviar_hashing", "Requests that hash a password, running and waiting.")
RATE_LIMITED = Counter("alviar_rate_limited_total", "Requests refused by a rate.", ["rate"])
CONNECTIONS_CUT = Counter(
    "alviar_connections_cut_total",
    "Connections ended by the server: silent, unfinished, unread, stuck, flood, or the code of a refused request.",
    ["reason"],
)
DATABASE_AWAY = _gauge("alviar_database_away", "Processes that cannot reach the database.")
STORE_FAILURES = Counter(
    "alviar_store_failures_total", "Background work that failed, mostly for a store that is away.", ["what"]
)
DATABASE_REFUSED = Counter("alviar_database_refused_total", "Work refused at once because the database is away.")
REPLICA_READS = Counter(
    "alviar_replica_reads_total",
    "Reads of history and search: served by replica, primary; the standby was behind, away, other (none of ours).",
    ["outcome"],
)
PROCESSES = _gauge("alviar_processes", "Living processes.", ("kind",))

# --- Accounts and sessions ---
REGISTRATIONS = Counter("alviar_registrations_total", "Accounts registered.")
SIGN_INS = Counter("alviar_sign_ins_total", "Sessions started by a sign-in.")
SIGN_IN_FAILURES = Counter("alviar_sign_in_failures_total", "Sign-ins refused.", ["code"])
LOCKOUTS = Counter("alviar_lockouts_total", "Accounts and unknown names locked after wrong passwords.")
REFRESHES = Counter(
    "alviar_refreshes_total",
    "Refreshes: rotated, replayed (a lost answer repeated), reused (a copied token: an alarm), refused.",
    ["outcome"],
)
SESSIONS_ENDED = Counter("alviar_sessions_ended_total", "Sessions ended before their time.", ["reason"])
SECURITY_EVENTS = Counter("alviar_security_events_total", "Lines of people's security timelines.", ["kind"])

# --- Chat ---
SOCKETS = _gauge("alviar_sockets", "Open sockets.")
SOCKETS_OPENED = Counter("alviar_sockets_opened_total", "Sockets that got as far as `hello`.")
HANDSHAKES = Counter(
    "alviar_handshakes_total",
    "Handshakes: admitted to authentication, refused because they would wait too long, gone while they waited.",
    ["outcome"],
)
HANDSHAKES_WAITING = _gauge("alviar_handshakes_waiting", "Handshakes that wait for a place.")
HANDSHAKE_SECONDS = Histogram(
    "alviar_handshake_wait_seconds",
    "Time that an admitted handshake waited for its place.",
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 4, 6, 8, 10),
)
SOCKETS_CLOSED = Counter("alviar_sockets_closed_total", "Sockets closed by the server, by close code.", ["code"])
SOCKETS_SLOW = Counter("alviar_sockets_slow_total", "Sockets closed because the client reads too slowly (4413).")
SOCKETS_STUCK = Counter("alviar_sockets_stuck_total", "Sockets cut because the client reads nothing at all.")
MESSAGES = Counter("alviar_messages_total", "Messages stored.")
DELIVERIES = Counter("alviar_deliveries_total", "Events handed to sockets.")
HOLES_MENDED = Counter("alviar_holes_mended_total", "Conversations read from the database because events were missed.")
WRITER_BATCH = Histogram(
    "alviar_writer_batch", "Messages stored by one commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
WRITER_SECONDS = Histogram(
    "alviar_writer_seconds",
    "Time to store one batch.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
WRITER_QUEUE = _gauge("alviar_writer_queue", "Messages that wait to be stored.")
LAYER_BROKEN = _gauge("alviar_layer_broken", "Processes whose way to the other processes (Redis) is broken.")
LAYER_BREAKS = Counter("alviar_layer_breaks_total", "Times that the way to the other processes broke.")

# --- Tasks and mails ---
TASKS_RUN = Counter("alviar_tasks_run_total", "Attempts at tasks: done, retry, failed.", ["task", "outcome"])
TASK_SECONDS = Histogram(
    "alviar_task_seconds", "Time that a task ran.", buckets=(0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
MAILS = Counter("alviar_mails_total", "Mails: sent, failed.", ["outcome"])
PUSHES = Counter("alviar_pushes_total", "Pushes by provider and outcome.", ["provider", "outcome"])
