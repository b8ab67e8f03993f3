"""Prepared statements by the cursors that a connection keeps."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, connection, transaction

from common import pipelined

SQL = "SELECT %s::bigint, %s::text, %s::timestamptz"
AT = datetime(2026, 11, 21, 10, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_kept_cursor_reads_each_row_anew():
    for number in (1, 40_000, 1 << 40, None):  # as parameters of three types
        assert pipelined.fetch_one(SQL, [number, str(number), AT]) == (number, str(number), AT)
    assert pipelined.fetch_one("SELECT 1 WHERE %s::bigint = 2", [1]) is None
    assert pipelined.fetch_one("SELECT 1 WHERE %s::bigint = 2", [2]) == (1,)


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_kept_cursor_survives_the_errors_of_its_statement():
    for _attempt in range(2):
        with pytest.raises(DatabaseError), transaction.atomic():
            pipelined.fetch_one("SELECT 1 / %s::bigint", [0])
        assert pipelined.fetch_one("SELECT 1 / %s::bigint", [1]) == (1,)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_in_a_pipeline_the_same_statement_can_be_under_way_twice():
    pipelined.fetch_one("SELECT %s::bigint", [0])
    with pipelined.one_trip():
        under_way = [pipelined.execute("SELECT %s::bigint", [number]) for number in (1, 2)]
        assert pipelined.fetch_one("SELECT %s::bigint", [3]) == (3,)
    assert [cursor.fetchone() for cursor in under_way] == [(1,), (2,)]


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_connection_keeps_a_bounded_number_of_cursors():
    for number in range(pipelined.KEPT_CURSORS * 2):
        assert pipelined.fetch_one(f"SELECT {number} + %s::bigint", [1]) == (number + 1,)
    assert len(connection.connection.kept_cursors) <= pipelined.KEPT_CURSORS
