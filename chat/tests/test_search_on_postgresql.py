"""The same search on PostgreSQL: the engine differs, what is found must not."""

import pytest

from chat.tests.test_search import *  # noqa: F403

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]
