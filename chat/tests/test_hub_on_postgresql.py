"""The hub's promises once more, with PostgreSQL's locks and a real layer in the path."""

import pytest

from chat.tests.test_hub import *  # noqa: F403  (the same tests, collected here too)
from chat.tests.test_order import (
    test_every_story_ends_with_everybody_having_the_log as test_every_story_ends_with_everybody_having_the_log,
)

pytestmark = [pytest.mark.postgres, pytest.mark.valkey, pytest.mark.django_db(transaction=True)]
