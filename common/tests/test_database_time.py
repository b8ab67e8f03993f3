"""One request's time for the database: spent over all its waits, enforced by the client."""

import pytest
from django.db import OperationalError, connection

from common import database_time
from common.database_time import TimeOver
from common.errors import from_exception


def test_the_time_is_shared_by_all_waits_of_a_request() -> None:
    with database_time.limited(2):
        database_time.spend(1.5)
        assert database_time.left() == 0.5
        database_time.spend(1)
        with pytest.raises(TimeOver) as refused:
            database_time.left()
        error = from_exception(refused.value)
        assert error is not None
        assert (error.status, error.code, error.retry_after) == (503, "temporarily_unavailable", 1)
    assert database_time.left() is None  # commands and tasks have no limit


def test_none_is_none(settings: object) -> None:
    settings.DATABASE_TIMEOUT_MS = 0  # type: ignore[attr-defined]
    with database_time.limited():
        database_time.spend(1_000)
        assert database_time.left() is None


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_statement_that_takes_longer_is_given_up_and_its_connection_thrown_away() -> None:
    with database_time.limited(0.2), pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")
    connection.close_if_unusable_or_obsolete()
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_without_a_limit_a_statement_may_take_its_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.3)")
