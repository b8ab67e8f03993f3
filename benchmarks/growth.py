"""Time of the same requests with ten thousand rows and with a million: the same people, the same page, a longer past.

    python -m benchmarks.growth [--rows 1000000] [--calls 40]

In this process, on SQLite, or on PostgreSQL by `python -m tests.servers python -m benchmarks.growth`. Messages, events,
the search index and ended sessions are multiplied by SQL; then the database gathers its statistics, as autovacuum does.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.accounts_setup import database
from benchmarks.progress import Progress

FEW = 10_000
OTHERS = 1_000  # people whose ended sessions these are


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--json", help="write the figures into this file as well")
    options = parser.parse_args()
    with database():
        from django.db import connection

        bar = Progress(2)
        calls = _people()
        grow(FEW)
        few = {name: cost(call, options.calls) for name, call in calls.items()}
        bar.step(f"{FEW:,} rows")
        grow(options.rows)
        many = {name: cost(call, options.calls) for name, call in calls.items()}
        bar.step(f"{options.rows:,} rows")
        vendor = connection.vendor
    print(f"$ python -m benchmarks.growth --rows {options.rows}  ({vendor}; wall time of the fastest fifth, ms)")
    # `me` reads nothing that grows: what it takes longer is the machine, not the past.
    machine = many["me"] / few["me"]
    print(f"{'':<34}{f'{FEW:,}':>10}{f'{options.rows:,}':>12}{'ratio':>8}{'to me':>8}")
    for name in few:
        ratio = many[name] / few[name]
        print(f"{name:<34}{few[name]:>10.2f}{many[name]:>12.2f}{ratio:>8.2f}{ratio / machine:>8.2f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"vendor": vendor, "rows": options.rows, "few": few, "many": many}, file)


def cost(call: Callable[[], Any], calls: int) -> float:
    """Return the time in milliseconds within which the fastest fifth of the calls was answered."""
    times = []
    for turn in range(calls + 3):
        started = time.perf_counter()
        call()
        if turn >= 3:  # the first ones warm up
            times.append(time.perf_counter() - started)
    return statistics.quantiles(times, n=5)[0] * 1000


def _people() -> dict[str, Callable[[], Any]]:
    """Make alice, bob and their group; return the calls that are measured."""
    from django.test import Client

    from chat.services import conversations
    from common.client import Client as Source
    from sessions.services import lifecycle
    from users.models import User

    alice, bob = (
        User.objects.create_user(name, email=f"{name}@example.com", password="x") for name in ("alice", "bob")
    )
    source = Source(ip_address="203.0.113.7", user_agent="benchmark")
    pair = lifecycle.start(user=alice, client=source).tokens
    lifecycle.start(user=bob, client=source)
    User.objects.bulk_create(
        User(username=f"p{n}", username_key=f"p{n}", username_looks=f"p{n}", email=f"p{n}@example.com")
        for n in range(OTHERS)
    )
    group = conversations.create_group(user_id=alice.pk, title="Garden", user_ids=[bob.pk])
    client = Client(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    held = {"refresh": pair.refresh}

    def get(path: str) -> Callable[[], Any]:
        def call() -> None:
            answer = client.get(path)
            assert answer.status_code == 200, answer.content

        return call

    def refresh() -> None:
        answer = client.post("/api/auth/token/refresh/", json.dumps(held), content_type="application/json")
        assert answer.status_code == 200, answer.content
        held["refresh"] = answer.json()["refresh"]

    talk = f"/api/chat/conversations/{group.uuid}"
    return {
        "me": get("/api/users/me/"),
        "refresh": refresh,
        "sessions": get("/api/users/sessions/"),
        "conversations, with unread counts": get("/api/chat/conversations/"),
        "history, newest page": get(f"{talk}/messages/"),
        "history, before the middle": get(f"{talk}/messages/?before_seq=5000"),
        "resume, 200 events behind": lambda: _resume(alice.pk, group.pk),
        "search, a word of one message": get("/api/chat/search/?q=%22rare77%22"),
        "search, a common word": get("/api/chat/search/?q=station"),
        "search, common but not seldom": get("/api/chat/search/?q=station%20-seldom"),
    }


def _resume(user_id: int, conversation_id: int) -> None:
    from chat.log import catchup
    from chat.models import Conversation

    row = Conversation.objects.get(pk=conversation_id)
    missed = catchup.read(user_id, {row.uuid: max(row.last_seq - 200, 0)}, same_epoch=True)
    assert missed.ranges[0].up_to == row.last_seq


def grow(total: int) -> None:
    """Bring the group to `total` messages and the table of sessions to as many ended ones."""
    from django.db import connection

    from chat.models import Conversation, Message
    from sessions.models import UserSession
    from users.models import User

    row = Conversation.objects.get()
    bob = User.objects.get(username="bob")
    count = total - row.last_message_no
    is_postgresql = connection.vendor == "postgresql"
    name, now = ("gen_random_uuid()", "now()") if is_postgresql else ("lower(hex(randomblob(16)))", "CURRENT_TIMESTAMP")
    words = "w::tsvector" if is_postgresql else "w"
    jti = "replace(gen_random_uuid()::text, '-', '')" if is_postgresql else name
    payload = "'{}'::jsonb" if is_postgresql else "'{}'"
    numbers = (
        f"SELECT n FROM generate_series(1, {count}) AS n"
        if is_postgresql
        else f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c"
    )
    first_id = Message.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO chat_message (uuid, conversation_id, seq, message_no, sender_id, content, client_msg_id,
                                      content_digest, mentions, created_at)
            SELECT {name}, %s, %s + n, %s + n, %s,
                   CASE WHEN n %% 3 = 0 THEN 'station ' ELSE 'garden ' END
                   || CASE WHEN n %% 50 = 0 THEN 'seldom ' ELSE '' END || 'rare' || (%s + n), {name}, '', '[]', {now}
            FROM ({numbers}) numbers
            """,
            [row.pk, row.last_seq, row.last_message_no, bob.pk, row.last_message_no],
        )
        cursor.execute(
            f"INSERT INTO chat_messagetext (message_id, words, has_link) "
            f"SELECT id, {words}, {'false' if is_postgresql else '0'} "
            "FROM (SELECT id, content AS w FROM chat_message WHERE id > %s) texts",
            [first_id],
        )
        cursor.execute(
            f"INSERT INTO chat_event (conversation_id, seq, kind, at, actor_id, message_id, payload) "
            f"SELECT conversation_id, seq, 'message.created', created_at, sender_id, id, {payload} "
            "FROM chat_message WHERE id > %s",
            [first_id],
        )
        others = {"session_token": name, "current_jti": jti, "previous_jti": "''", "device_fingerprint": "''"}
        others |= {"is_active": "false" if is_postgresql else "0", "user_id": f"s.user_id + 1 + n %% {OTHERS}"}
        columns = [f.column for f in UserSession._meta.concrete_fields if f.column != "id"]
        shown = ", ".join(f'"{column}"' for column in columns)
        values = ", ".join(others.get(column, f's."{column}"') for column in columns)
        cursor.execute(
            f"INSERT INTO {UserSession._meta.db_table} ({shown}) SELECT {values} FROM ({numbers}) numbers, "
            f"(SELECT * FROM {UserSession._meta.db_table} WHERE user_id = %s ORDER BY id LIMIT 1) s",
            [bob.pk],
        )
        cursor.execute("VACUUM ANALYZE" if is_postgresql else "ANALYZE")
    row.last_message = Message.objects.get(conversation=row, message_no=total)
    row.last_message_no, row.last_seq = total, row.last_seq + count
    row.save()


if __name__ == "__main__":
    main()
