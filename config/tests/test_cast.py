"""The fixtures that all tests stand on."""

import psycopg
import pytest
from django.db import connection


def test_the_cast_can_sign_in_with_the_demo_password(alice, bob, charlie):
    assert all(person.check_password("alviar-demo") for person in (alice, bob, charlie))


@pytest.mark.postgres
def test_a_test_marked_postgres_runs_on_postgresql(db):
    assert connection.vendor == "postgresql"


def test_postgres_url_is_a_database_with_all_tables_and_nobody_in_it(postgres_url):
    with psycopg.connect(postgres_url) as fresh:
        assert fresh.execute("SELECT count(*) FROM users_user").fetchone() == (0,)


def test_each_new_database_is_one_of_its_own(new_database):
    first, second = new_database(), new_database()
    with psycopg.connect(first) as one, psycopg.connect(second) as other:
        one.execute("DROP TABLE users_user CASCADE")
        one.commit()
        assert other.execute("SELECT count(*) FROM users_user").fetchone() == (0,)


def test_valkey_url_answers(valkey_url):
    import redis

    assert redis.Redis.from_url(valkey_url).ping()
