"""The plain SQL that asks whether a message wakes a device, on PostgreSQL."""

import pytest

from chat.tests.test_push import (  # noqa: F401 (fixtures, and the same tests, collected here too)
    _loopback_allowed,
    push_service,
    register,
    test_seen_on_one_device_clears_the_other,
    test_who_has_no_device_costs_no_task,
    test_who_left_or_whose_session_is_over_costs_no_task,
)

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
