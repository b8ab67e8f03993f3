"""Looking an address up reads an index, not the table."""

import pytest
from django.db import connection

from users import people
from users.flows import search

pytestmark = pytest.mark.django_db


def test_case_does_not_matter_and_no_address_is_nobodys(alice, person):
    person("silent", email="")
    assert people.of("ALICE@example.com").get() == alice
    assert not people.of("").exists()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("people", "index"),
    [
        (lambda: people.of("alice@example.com"), "users_user_email_unique"),
        (lambda: search.people(query="ali", searcher_id=0), "users_user_search_username_"),
        (lambda: search.people(query="ali", searcher_id=0), "users_user_search_last_name_"),
    ],
)
def test_postgresql_can_answer_by_index(alice, people, index):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        assert index in people().explain()
