"""The same races on PostgreSQL, where writers do not wait for one another but for a row."""

import pytest

from chat.tests.test_conversation_races import *  # noqa: F403

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]
