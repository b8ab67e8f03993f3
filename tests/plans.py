"""Statements of a call and their plans on PostgreSQL, for tests of what a long past costs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import psycopg
from django.db import connection
from django.test.utils import CaptureQueriesContext

from common import pipelined

Asked = list[tuple[str, Any]]


def analyse(cursor: Any) -> None:
    """Gather the planner's statistics of our tables.

    A bare ANALYZE also locks catalogs that all databases share until the transaction ends: two tests would meet there.
    """
    if connection.vendor != "postgresql":
        cursor.execute("ANALYZE")
        return
    for table in connection.introspection.django_table_names(only_existing=True):
        cursor.execute(f"ANALYZE {table}")


@contextmanager
def asked() -> Iterator[Asked]:
    """Collect the statements of the block, those of Django's cursors and those of `common.pipelined`."""
    found: Asked = []
    execute = pipelined.execute

    def noting(sql: str, params: Any) -> Any:
        found.append((sql, params))
        return execute(sql, params)

    with mock.patch.object(pipelined, "execute", noting), CaptureQueriesContext(connection) as captured:
        yield found
    found += [(query["sql"].replace("%", "%%"), None) for query in captured]


def plan(sql: str, params: Any) -> list[dict[str, Any]]:
    """Return the nodes of a statement's plan with what it read, without its writes."""
    connection.ensure_connection()
    raw: Any = connection.connection
    with raw.transaction(force_rollback=True), psycopg.Cursor(raw) as cursor:
        cursor.execute("SET LOCAL random_page_cost = 1.1")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params or None)
        found: Any = (cursor.fetchone() or [None])[0]
    found = json.loads(found) if isinstance(found, str) else found
    return _nodes(found[0]["Plan"])


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in _nodes(child))]


def rows_read(nodes: list[dict[str, Any]], table: str) -> int:
    """Return how many rows of the table were touched, those that a filter threw away included."""
    return sum(
        int(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
            * node["Actual Loops"]
        )
        for node in nodes
        if node.get("Relation Name") == table and "Scan" in node["Node Type"]
    )
