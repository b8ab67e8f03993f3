"""Empty the tables after a test that committed: what Django's `flush` does, for the tables that have rows.

`flush` deletes from every table and makes content types and permissions anew, which costs more than most tests.
"""

from functools import cache

from django.db import connection, transaction
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission"}  # made by `migrate`; the same for every test


@cache
def _tables(alias: str) -> list[str]:
    return sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT)


def flush(_test: TransactionTestCase) -> None:
    quoted = {table: connection.ops.quote_name(table) for table in _tables(connection.alias)}
    filled = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {name})" for table, name in quoted.items()
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(filled)
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {quoted[table]}")  # in any order: constraints wait for the commit
