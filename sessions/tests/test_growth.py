"""What a refresh, the session list and a login read on PostgreSQL beside many sessions: plans, no times."""

import pytest
from django.db import connection

from common.client import Client
from sessions.authentication import authenticate
from sessions.models import UserSession
from sessions.services import lifecycle, rotation
from tests import plans

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]

MANY = 4_000
TABLES = ("user_sessions_usersession", "token_blacklist_outstandingtoken", "token_blacklist_blacklistedtoken")
CLIENT = Client(ip_address="203.0.113.7", user_agent="growth")


@pytest.fixture
def started(alice, bob):
    """Alice has 4,000 ended sessions, Bob as many living ones; each has a blacklisted token."""
    with connection.cursor() as cursor:
        for user, living in ((alice, False), (bob, True)):
            cursor.execute(
                f"""
                INSERT INTO {TABLES[0]} (user_id, session_token, device_fingerprint, user_agent, is_active, expires_at,
                    device_name, client, remember_me, created_at, last_seen_at, idle_expires_at, absolute_expires_at,
                    end_reason, generation, minimum_generation, current_jti, previous_jti, successor_used, signing_kid,
                    signing_algorithm, refresh_claims)
                SELECT %s, gen_random_uuid(), 'device ' || n, 'agent', %s, now() + interval '1 day', '', '{{}}', false,
                    now(), now() - n * interval '1 second', now() + interval '1 day', now() + interval '1 day', '',
                    1, 1, md5(n || %s), '', false, '', '', ''
                FROM generate_series(1, %s) AS n
                """,
                [user.pk, living, user.username, MANY],
            )
        cursor.execute(
            f"INSERT INTO {TABLES[1]} (user_id, jti, token, created_at, expires_at) "
            f"SELECT user_id, current_jti, '', now(), now() + interval '1 day' FROM {TABLES[0]}"
        )
        cursor.execute(f"INSERT INTO {TABLES[2]} (token_id, blacklisted_at) SELECT id, now() FROM {TABLES[1]}")
        plans.analyse(cursor)
    return lifecycle.start(user=alice, client=CLIENT, device_fingerprint="device 7")


def check(asked, *, at_most):
    """Every statement reads by an index, and few rows."""
    assert asked
    for sql, params in asked:
        if sql.startswith(("SAVEPOINT", "RELEASE")) or (sql.startswith("INSERT") and " SELECT " not in sql):
            continue  # reads nothing
        nodes = plans.plan(sql, params)
        through = [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] in TABLES]
        assert not through, sql
        assert sum(plans.rows_read(nodes, table) for table in TABLES) <= at_most, sql


def test_nothing_reads_the_past(started, alice, bob):
    with plans.asked() as refresh:
        pair = rotation.rotate(refresh=started.tokens.refresh, client=CLIENT).tokens
    assert any("token_blacklist" in sql for sql, _ in refresh)
    check(refresh, at_most=2)
    with plans.asked() as request:
        authenticate(pair.access)
    check(request, at_most=1)
    for user, shown in ((alice, 1), (bob, 51)):
        with plans.asked() as page:
            assert len(lifecycle.newest_of(user.pk, limit=51)) == shown
        check(page, at_most=shown + 1)
    # A login reads the living session of its device, and of the others the latest.
    with plans.asked() as login:
        lifecycle.start(user=alice, client=CLIENT, device_fingerprint="device 7")
    assert any("DISTINCT" in sql for sql, _ in login)
    check(login, at_most=2 * lifecycle.KNOWN_DEVICES)
    assert UserSession.objects.filter(user=alice, is_active=True).count() == 1
