"""The same search on PostgreSQL: the engine differs, what is found must not."""

import json

import pytest
from django.db import connection

from chat.search import find, query
from chat.tests.test_search import *  # noqa: F403
from chat.tests.test_search import fill, found

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]


@pytest.fixture(autouse=True, params=["by the index", "from the newest on"])
def way(request, monkeypatch):
    """Every test is run as for a rare word and as for a common one; what is found must be the same."""
    monkeypatch.setattr(find, "_is_common", lambda asked: request.param != "by the index")
    return request.param


def _touched(sql, parameters, table):
    """Return how many rows of the table the statement reads."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
        plan = cursor.fetchone()[0]

    def nodes(node):
        return [node, *(below for child in node.get("Plans", []) for below in nodes(child))]

    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
        if node.get("Relation Name") == table
    )


def test_a_common_word_reads_the_page_and_not_the_past(alice, room, monkeypatch):
    monkeypatch.undo()
    fill(room, alice, 20_000)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chat_messagetext SET words = words || 'every'::tsvector")
        cursor.execute("ANALYZE chat_messagetext")
    common, rare = query.parse("every"), query.parse("word7777")
    assert find._is_common(common)
    assert not find._is_common(rare)
    wanted = find.Wanted(query=common)
    sql = find.newest_statement(alice.pk, wanted, limit=51)
    assert _touched(*sql, "chat_message") <= 60
    assert _touched(*sql, "chat_messagetext") <= 60
    newest = find.find(alice.pk, wanted, limit=51)
    assert [row.content for row in newest] == [f"word{number}" for number in range(20_000, 19_949, -1)]
    following = find.Wanted(query=common, before_id=newest[-1].pk)
    assert find.find(alice.pk, following, limit=3)[0].content == "word19949"


def test_what_the_newest_messages_do_not_decide_the_index_decides(alice, room, monkeypatch):
    monkeypatch.undo()
    fill(room, alice, 7_000)
    assert find._among_newest(alice.pk, find.Wanted(query=query.parse("word7")), limit=2_000) is None
    assert found(alice, "word1234") == ["word1234"]


def test_a_rare_word_reads_its_messages_alone(alice, room, monkeypatch):
    monkeypatch.undo()
    fill(room, alice, 20_000)
    sql = find.statement(alice.pk, find.Wanted(query=query.parse('"word7777"')), limit=51)
    assert _touched(*sql, "chat_message") == 1
