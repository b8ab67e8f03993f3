"""Times in JSON: UTC, milliseconds, `Z`, whatever the time's zone and fraction are."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from common import json

AT = datetime(2026, 11, 21, 10, 0, 0, 123_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "told"),
    [
        pytest.param(AT, "2026-11-21T10:00:00.123Z", id="microseconds"),
        pytest.param(AT.replace(microsecond=0), "2026-11-21T10:00:00.000Z", id="whole seconds"),
        pytest.param(AT.replace(microsecond=7), "2026-11-21T10:00:00.000Z", id="less than a millisecond"),
        pytest.param(AT.replace(tzinfo=ZoneInfo("UTC")), "2026-11-21T10:00:00.123Z", id="a zone that is UTC"),
        pytest.param(AT.astimezone(ZoneInfo("Europe/Paris")), "2026-11-21T10:00:00.123Z", id="a zone"),
        pytest.param(
            AT.astimezone(timezone(timedelta(hours=-3, minutes=-30))), "2026-11-21T10:00:00.123Z", id="offset"
        ),
        pytest.param(AT.replace(year=1), "0001-11-21T10:00:00.123Z", id="the first year"),
    ],
)
def test_a_time_is_in_utc_and_in_milliseconds(at, told):
    assert json.isoformat(at) == told
    assert json.dumps({"at": at}) == b'{"at":"%b"}' % told.encode()
