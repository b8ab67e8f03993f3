"""Times and JSON columns are the same whichever way they take."""

import json as stdlib
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from common import json, rows
from sessions.models import UserSession


@pytest.mark.parametrize(
    "zone", [UTC, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata"), timezone(-timedelta(hours=3))], ids=str
)
def test_a_time_is_in_utc_with_milliseconds(zone):
    at = datetime(2026, 11, 21, 10, 0, 0, 123_999, tzinfo=UTC).astimezone(zone)
    assert json.isoformat(at) == "2026-11-21T10:00:00.123Z"


@pytest.mark.parametrize(
    "value",
    [{}, [], None, 0, "é\u0000 \ud83d\ude00", {"a": [1, 2.5, None, True]}, 2**63, [1e300], "\ud83d"],
    ids=["object", "list", "null", "zero", "text", "nested", "64 bits", "large", "half a letter"],
)
def test_a_json_column_is_read_as_the_orm_reads_it(value):
    text = None if value is None else stdlib.dumps(value)
    shape = rows.shape(UserSession, ("id", "client"))
    (read,) = shape.values([1, text])[1:]
    field = UserSession._meta.get_field("client")
    expected = field.from_db_value(text, field.get_col("t"), connection)
    assert (read, type(read)) == (expected, type(expected))
