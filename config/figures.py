"""What the admin's first page shows: sign-ins, sessions, sockets, messages, tasks, mails, pushes, storage.

Each figure reads a bounded part of an index, whatever the tables hold.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, IntegerField, Max, Sum, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, TruncHour, TruncMinute
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from common import dashboard
from common.dashboard import Figure
from common.metrics import IS_SHARED
from sessions.models import PushRegistration

NEWEST_SESSIONS, NEWEST_MESSAGES, NEWEST_FILES, OPEN_TASKS = 10_000, 50_000, 10_000, 10_000
Numbers = dict[str, Any]


def _by_time(
    rows: Iterable[tuple[datetime, str, int]], *, names: Iterable[str], step: timedelta, count: int
) -> Numbers:
    """Lay rows of (time, series, number) out over the last `count` steps, nothing where there is no row."""
    now = timezone.now().astimezone(UTC).replace(second=0, microsecond=0)
    last = now.replace(minute=0) if step >= timedelta(hours=1) else now
    times = [last - step * n for n in range(count - 1, -1, -1)]
    place = {at: n for n, at in enumerate(times)}
    values = {name: [0] * count for name in names}
    for at, name, number in rows:
        if (n := place.get(at.astimezone(UTC))) is not None and name in values:
            values[name][n] += number
    return {"labels": [at.timestamp() for at in times], "values": values}


def sign_ins() -> Numbers:
    from users.models import SecurityEvent

    kinds = ("login", "login_failed", "lockout")
    since = timezone.now() - timedelta(hours=24)
    # A burst of wrong passwords is one row with its count.
    times = Coalesce(Cast(KeyTextTransform("count", "detail"), IntegerField()), Value(1))
    rows = (
        SecurityEvent.objects.filter(kind__in=kinds, at__gte=since)
        .annotate(hour=TruncHour("at", tzinfo=UTC))
        .order_by()
        .values_list("hour", "kind")
        .annotate(number=Sum(times))
    )
    return _by_time(rows, names=kinds, step=timedelta(hours=1), count=24)


def _sessions_by(column: str, key: str) -> list[tuple[str, int]]:
    from sessions.models import UserSession

    newest = UserSession.objects.filter(is_active=True, expires_at__gt=timezone.now()).order_by("-pk")
    rows = (
        UserSession.objects.filter(pk__in=newest.values("pk")[:NEWEST_SESSIONS])
        .annotate(what=KeyTextTransform(key, column))
        .order_by()
        .values_list("what")
        .annotate(number=Count("pk"))
    )
    # SQLite writes a JSON null as a word.
    return [("" if what in (None, "null") else what, number) for what, number in rows]


def _ranked(found: Iterable[tuple[str, int]], most: int = 8) -> Numbers:
    total: Counter[str] = Counter()
    for name, number in found:
        total[name] += number
    first = total.most_common(most)
    rest = sum(total.values()) - sum(number for _name, number in first)
    rows = [*((name or "?", number) for name, number in first), *([("…", rest)] if rest else [])]
    return {"labels": [name for name, _number in rows], "values": {"sessions": [number for _name, number in rows]}}


def countries() -> Numbers:
    return _ranked(_sessions_by("location", "country"))


def systems() -> Numbers:
    return _ranked((what.split(" ")[0], number) for what, number in _sessions_by("client", "os"))


def messages() -> Numbers:
    from chat.models import Message

    newest = Message.objects.aggregate(last=Max("pk"))["last"] or 0
    rows = (
        Message.objects.filter(pk__gt=newest - NEWEST_MESSAGES, created_at__gte=timezone.now() - timedelta(hours=1))
        .annotate(minute=TruncMinute("created_at", tzinfo=UTC))
        .order_by()
        .values_list("minute")
        .annotate(number=Count("pk"))
    )
    return _by_time(
        ((at, "messages", number) for at, number in rows), names=["messages"], step=timedelta(minutes=1), count=60
    )


def tasks() -> Numbers:
    from django_tasks_db.models import DBTaskResult

    states = ("READY", "RUNNING", "FAILED")
    few = DBTaskResult.objects.filter(status__in=states).order_by().values("pk")[:OPEN_TASKS]
    rows = DBTaskResult.objects.filter(pk__in=few).order_by().values_list("status", "queue_name", "task_path")
    counts: Counter[tuple[str, str]] = Counter()
    for status, queue, path, number in rows.annotate(number=Count("pk")):
        kind = "push" if queue == "push" else "mails" if path.startswith("users.mail.") else "other"
        counts[kind, status] += number
    kinds = ("mails", "push", "other")
    return {"labels": list(kinds), "values": {state: [counts[kind, state] for kind in kinds] for state in states}}


def _samples(name: str) -> list[tuple[dict[str, str], float]]:
    registry: Any = REGISTRY
    if IS_SHARED:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return [
        (dict(sample.labels), sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    ]


def sockets() -> Numbers:
    return {
        "labels": ["now"],
        "values": {"sockets": [int(sum(value for _labels, value in _samples("alviar_sockets")))]},
    }


def sent() -> Numbers:
    mails = {labels["outcome"]: int(value) for labels, value in _samples("alviar_mails_total")}
    return {
        "labels": ["now"],
        "values": {"sent": [mails.get("sent", 0)], "failed": [mails.get("failed", 0)]},
    }


def pushes() -> Numbers:
    """Count pushes by provider. Without any, each provider that is known stands there with nothing."""
    counts: Counter[tuple[str, str]] = Counter()
    for labels, value in _samples("alviar_pushes_total"):
        counts[labels["provider"], labels["outcome"]] += int(value)
    names = list(PushRegistration.Provider)
    return {
        "labels": [str(name) for name in names],
        "values": {
            "sent": [counts[name, "sent"] for name in names],
            "later": [counts[name, "later"] for name in names],
            "gone": [counts[name, "gone"] + counts[name, "over"] for name in names],
            "failed": [counts[name, "failed"] + counts[name, "too_large"] for name in names],
        },
    }


def storage() -> Numbers:
    from chat.media.models import Attachment

    newest = Attachment.objects.order_by("-pk").values("pk")[:NEWEST_FILES]
    files = Attachment.objects.filter(pk__in=newest).aggregate(bytes=Sum("size"))["bytes"] or 0
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
        else:
            cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        (database,) = cursor.fetchone()
    return {"labels": ["now"], "values": {"database": [int(database)], "files": [int(files)]}}


WORDS = {"now": _("now"), "mails": _("mails"), "push": _("pushes"), "other": _("other tasks")}
EVENTS, SESSIONS = "users.view_securityevent", "user_sessions.view_usersession"
TASKS = "django_tasks_database.view_dbtaskresult"

for figure in (
    Figure(
        id="sign-ins",
        title=_("Sign-ins in each hour of the last day"),
        make=sign_ins,
        series={"login": _("sign-ins"), "login_failed": _("wrong passwords"), "lockout": _("lockouts")},
        permission=EVENTS,
        times=True,
        seconds=60,
    ),
    Figure(
        id="messages",
        title=_("Messages in each minute of the last hour"),
        make=messages,
        series={"messages": _("messages")},
        permission="chat.view_conversation",
        times=True,
        note=_("Of the newest 50,000."),
    ),
    Figure(
        id="sockets",
        title=_("Sockets open now"),
        make=sockets,
        words=WORDS,
        series={"sockets": _("sockets")},
        permission=SESSIONS,
        seconds=5,
    ),
    Figure(
        id="tasks",
        title=_("Tasks and mails that wait"),
        make=tasks,
        words=WORDS,
        series={"READY": _("waiting"), "RUNNING": _("running"), "FAILED": _("failed")},
        permission=TASKS,
        seconds=10,
        note=_("Counted up to 10,000."),
    ),
    Figure(
        id="sent",
        title=_("Mails since the start"),
        make=sent,
        words=WORDS,
        series={"sent": _("sent"), "failed": _("failed")},
        permission=TASKS,
        seconds=10,
    ),
    Figure(
        id="pushes",
        title=_("Pushes since the start, by provider"),
        make=pushes,
        words=dict(PushRegistration.Provider.choices),
        series={"sent": _("sent"), "later": _("tried again"), "gone": _("device gone"), "failed": _("failed")},
        permission=TASKS,
        seconds=10,
    ),
    Figure(
        id="countries",
        title=_("Living sessions by country"),
        make=countries,
        series={"sessions": _("sessions")},
        permission=SESSIONS,
        seconds=60,
        note=_("Of the newest 10,000."),
    ),
    Figure(
        id="systems",
        title=_("Living sessions by system"),
        make=systems,
        series={"sessions": _("sessions")},
        permission=SESSIONS,
        seconds=60,
        note=_("Of the newest 10,000."),
    ),
    Figure(
        id="storage",
        title=_("Storage"),
        make=storage,
        words=WORDS,
        series={"database": _("database"), "files": _("newest 10,000 files")},
        permission=TASKS,
        unit="bytes",
        seconds=60,
    ),
):
    dashboard.add(figure)
