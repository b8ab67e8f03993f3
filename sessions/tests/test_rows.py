"""The parameters of a session's row, for plain SQL."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.db import connection
from django.utils.functional import lazystr

from common import rows
from sessions.models import UserSession

AT = datetime(2026, 11, 21, 10, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.django_db
def test_parameters_are_what_the_fields_would_make_of_them():
    values = {
        "generation": 7,
        "current_jti": "a" * 32,
        "device_name": lazystr("a phone"),
        "ip_address": "2001:db8::1",
        "is_active": True,
        "expires_at": AT.astimezone(timezone(timedelta(hours=1))),
        "location": {"country": "DZ"},
        "session_token": uuid.uuid4(),
        "authenticated_at": None,
    }
    made = dict(zip(values, rows.params(UserSession, values), strict=True))
    for name, value in values.items():
        expected = UserSession._meta.get_field(name).get_db_prep_save(value, connection)
        if name == "location":
            assert getattr(made[name], "obj", made[name]) == getattr(expected, "obj", expected)
        else:
            assert (type(made[name]), made[name]) == (type(expected), expected)
