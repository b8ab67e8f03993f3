"""Tables parted by month (`manage.py partition`): large logs, of which the newest months are read and the rest rests.

A row belongs to the month that its id says: ids jump at the start of a month to `month << 40`, so the id alone stays
the key, foreign keys go on pointing at it, and rows of a conversation keep their order. What stood in the table before
becomes the first partition as it is; nothing is copied.

PostgreSQL keeps a unique constraint over partitions only if the id is part of it. Each other one is therefore kept by a
narrow table of its own, filled by a trigger, with the constraint on it: as strict, also between transactions. Rows of
before the partition are found by their own indexes.
"""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg.errors import DeadlockDetected, LockNotAvailable

IDS_OF_A_MONTH = 40  # bits
FIRST_YEAR = 2020
AHEAD = 3  # months that are made before they begin
# Below PostgreSQL's `deadlock_timeout`: we give up before a transaction of somebody else is ended for us.
LOCK_TIMEOUT_MS, ATTEMPTS, PAUSE_SECONDS = 300, 120, 0.5
LOCK = 0x416C7650  # of `pg_advisory_xact_lock`

_tables: list[str] = []


def register(*tables: str) -> None:
    """Name tables that can be parted, each before those that refer to it."""
    _tables.extend(table for table in tables if table not in _tables)


def registered() -> list[str]:
    return list(_tables)


def month_of(at: datetime) -> int:
    return (at.year - FIRST_YEAR) * 12 + at.month - 1


def first_id(month: int) -> int:
    return month << IDS_OF_A_MONTH


def name_of(table: str, month: int) -> str:
    years, months = divmod(month, 12)
    return f"{table}_{FIRST_YEAR + years}_{months + 1:02}"


def is_partitioned(table: str) -> bool:
    return bool(_rows("SELECT 1 FROM pg_class WHERE oid = %s::regclass AND relkind = 'p'", [table]))


def convert(table: str, *, say: Callable[[str], None] = lambda _text: None) -> None:
    """Make the table a partitioned one whose first partition is what it was. Can be repeated after any interruption.

    Reads the table once while others write; locks it, and what refers to it, for the time that `say` is told.
    """
    if not is_partitioned(table):
        month = _fence(table)
        seconds = _briefly(_swap(table, month))
        say(f"{table}: locked for {seconds * 1000:.0f} ms")
    _validate(table, say)
    look_ahead(table)
    _execute(f"ANALYZE {table}")


def undo(table: str, *, say: Callable[[str], None] = lambda _text: None) -> None:
    """Make the parted table a plain one again, with every row and constraint. Can be repeated after any interruption.

    In one transaction, which keeps everybody from the table while it copies the rows of the months.
    """
    if is_partitioned(table):
        [(rows,)] = _rows(
            "SELECT coalesce(sum(pg_relation_size(inhrelid)), 0)::bigint / (1 << 20) FROM pg_inherits "
            "WHERE inhparent = %s::regclass AND inhrelid <> %s::regclass",
            [table, f"{table}_before"],
        )
        say(f"{table}: copying {rows} MB of months")
        say(f"{table}: locked for {_briefly(_unswap(table)) * 1000:.0f} ms")
    elif fences := _fences(table, table):  # of a change that was interrupted
        _briefly([f"ALTER TABLE {table} DROP CONSTRAINT {name}" for name, _ in fences])
    _validate(table, say)
    _execute(f"ANALYZE {table}")


def look_ahead(table: str, *, at: datetime | None = None) -> list[str]:
    """Make this month's partition and the next ones, move new ids into this month; return the new partitions."""
    [(last,)] = _rows(f"SELECT last_value FROM {table}_id_seq")  # noqa: S608
    # A table that is parted for the second time has ids of this month in its first partition: it begins with the next.
    now = max(month_of(at or timezone.now()), last >> IDS_OF_A_MONTH)
    made = []
    for month in range(now, now + AHEAD + 1):
        if not _rows("SELECT 1 WHERE to_regclass(%s) IS NOT NULL", [name_of(table, month)]):
            _briefly(_month(table, month, *_newest(table)))
            made.append(name_of(table, month))
    with transaction.atomic():
        _execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])  # two that set it would give out ids twice
        sequence = f"{table}_id_seq"
        [(last,)] = _rows(f"SELECT last_value FROM {sequence}")  # noqa: S608
        if last < first_id(now):
            _execute("SELECT setval(%s, %s, false)", [sequence, first_id(now)])
    return made


def look_ahead_everywhere() -> None:
    """Do so for every table that is parted (a daily task)."""
    if connection.vendor == "postgresql":
        for table in registered():
            if is_partitioned(table) and look_ahead(table):
                _execute(f"ANALYZE {table}")  # autovacuum analyses partitions only, not the whole


# --- The steps --------------------------------------------------------------------------------------------------------


def _fence(table: str) -> int:
    """Prove, while others write, that every id is below the first one of a month; return that month."""
    constraint = f"{table}_ids_below_"
    if found := _fences(table, table):
        [(name, is_proven)] = found
        month = int(name.removeprefix(constraint))
    else:
        [(last,)] = _rows(f"SELECT last_value >> {IDS_OF_A_MONTH} FROM {table}_id_seq")  # noqa: S608
        month = max(month_of(timezone.now()), last + 1 if last else 0)  # parted before, and undone
        name, is_proven = f"{constraint}{month}", False
        check = f"CHECK (id < {first_id(month)}) NOT VALID"
        _briefly([f"ALTER TABLE {table} ADD CONSTRAINT {name} {check}"])
    if not is_proven:
        _execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
    return month


def _fences(table: str, at: str) -> list[tuple[str, bool]]:
    """Return the constraint of the table or its first partition that bounds its ids, and whether it is proven."""
    found = _rows(
        "SELECT conname, convalidated FROM pg_constraint WHERE conrelid = %s::regclass AND starts_with(conname, %s)",
        [at, f"{table}_ids_below_"],
    )
    return [(name, is_proven) for name, is_proven in found]


def _swap(table: str, month: int) -> list[str]:
    """Return the statements that put a partitioned table in the place of this one, its first partition from then on."""
    before, first = f"{table}_before", first_id(month)
    own, referring = _foreign_keys("conrelid", table), _foreign_keys("confrelid", table)
    to_others = [key for key in own if key.target != table]
    from_others = [key for key in referring if key.owner != table]
    # In the order in which writers come by, so that nobody waits for us while we wait for them.
    locks = [f"{target} IN SHARE ROW EXCLUSIVE MODE" for target in sorted({key.target for key in to_others})]
    locks += [f"{owner} IN ACCESS EXCLUSIVE MODE" for owner in sorted({key.owner for key in from_others})]
    statements = [f"LOCK TABLE {wanted}" for wanted in (*locks, f"{table} IN ACCESS EXCLUSIVE MODE")]
    statements += [
        f"ALTER TABLE {table} RENAME TO {before}",
        f"ALTER TABLE {before} ALTER COLUMN id DROP IDENTITY",
        f"ALTER INDEX {table}_pkey RENAME TO {before}_pkey",
        f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS INCLUDING STORAGE) PARTITION BY RANGE (id)",
        f"CREATE SEQUENCE {table}_id_seq START {first} OWNED BY {table}.id",
        f"ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{table}_id_seq')",
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY (id)",
        *(f"ALTER TABLE {table} ADD CONSTRAINT {_quoted(key.name)} {key.definition}" for key in to_others),
        f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({first})",
        *_keep_unique(table),
        *_month(table, month, before, [key.definition for key in own if key.target == table]),
    ]
    for key in from_others:
        statements += [
            f"ALTER TABLE {key.owner} DROP CONSTRAINT {_quoted(key.name)}",
            f"ALTER TABLE {key.owner} ADD CONSTRAINT {_quoted(key.name)} {key.definition} NOT VALID",
        ]
    return statements


def _unswap(table: str) -> list[str]:
    """Return the statements that copy the months into the first partition, and put it in the place of the whole."""
    before, sequence = f"{table}_before", f"{table}_id_seq"
    months = [name for (name,) in _rows(_MONTHS, [table, before])]
    referring = _foreign_keys("confrelid", table)
    from_others = [key for key in referring if key.owner not in (before, *months)]
    own = _foreign_keys("confrelid", before)
    columns = ", ".join(_quoted(name) for (name,) in _rows(_COLUMNS, [table]))
    to_others = sorted({key.target for key in _foreign_keys("conrelid", table) if key.target != table})
    # Dropping a foreign key locks its target as well: a wait for that after the copy would cost the copy.
    locks = [f"{target} IN ACCESS EXCLUSIVE MODE" for target in to_others]
    locks += [f"{owner} IN ACCESS EXCLUSIVE MODE" for owner in sorted({key.owner for key in from_others})]
    return [
        *(f"LOCK TABLE {wanted}" for wanted in (*locks, f"{table} IN ACCESS EXCLUSIVE MODE")),
        "SET CONSTRAINTS ALL IMMEDIATE",  # a table whose rows wait for a check can not be changed
        f"CREATE TEMPORARY TABLE {table}_last AS SELECT last_value, is_called FROM {sequence}",  # noqa: S608
        *(f"ALTER TABLE {key.owner} DROP CONSTRAINT {_quoted(key.name)}" for key in (*referring, *own)),
        f"ALTER TABLE {table} DETACH PARTITION {before}",
        *(f"ALTER TABLE {before} DROP CONSTRAINT {name}" for name, _ in _fences(table, before)),
        *(f"INSERT INTO {before} ({columns}) SELECT {columns} FROM {month} ORDER BY id" for month in months),  # noqa: S608
        f"DROP TABLE {table} CASCADE",
        f"DROP FUNCTION {table}_unique()",
        *(f"DROP TABLE {kept}" for (kept,) in _rows(_KEPT, [f"{table}_unique_"])),
        f"ALTER TABLE {before} RENAME TO {table}",
        f"ALTER INDEX {before}_pkey RENAME TO {table}_pkey",
        f"ALTER TABLE {table} ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {sequence})",
        f"SELECT setval('{sequence}', last_value, is_called) FROM {table}_last",  # noqa: S608
        f"DROP TABLE {table}_last",
        *(
            f"ALTER TABLE {key.owner.replace(before, table)} ADD CONSTRAINT {_quoted(key.name)} "
            f"{key.definition.replace(f'REFERENCES {before}(', f'REFERENCES {table}(')} NOT VALID"
            for key in (*from_others, *own)
        ),
    ]


_MONTHS = """
    SELECT inhrelid::regclass::text FROM pg_inherits
    WHERE inhparent = %s::regclass AND inhrelid <> %s::regclass ORDER BY inhrelid
"""
_COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_KEPT = "SELECT oid::regclass::text FROM pg_class WHERE starts_with(relname, %s) AND relkind = 'r' ORDER BY 1"


def _validate(table: str, say: Callable[[str], None]) -> None:
    """Check the foreign keys to the table that were made without a look at the rows."""
    for other, constraint in _rows(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint "
        "WHERE confrelid = %s::regclass AND contype = 'f' AND NOT convalidated",
        [table],
    ):
        say(f"{table}: checking what refers to it in {other}")
        _execute(f"ALTER TABLE {other} VALIDATE CONSTRAINT {_quoted(constraint)}")


class ForeignKey(NamedTuple):
    owner: str
    target: str
    name: str
    definition: str


def _foreign_keys(side: str, table: str) -> list[ForeignKey]:
    found = _rows(
        "SELECT conrelid::regclass::text, confrelid::regclass::text, conname, pg_get_constraintdef(oid) "  # noqa: S608
        f"FROM pg_constraint WHERE {side} = %s::regclass AND contype = 'f' AND conparentid = 0 ORDER BY 1, 3",
        [table],
    )
    return [ForeignKey(*row) for row in found]


def _newest(table: str) -> tuple[str, list[str]]:
    """Return the newest partition, and the foreign keys by which its rows refer to rows of the table itself."""
    [(newest,)] = _rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits "
        "WHERE inhparent = %s::regclass ORDER BY inhrelid DESC LIMIT 1",
        [table],
    )
    own = [key for key in _foreign_keys("conrelid", newest) if key.target in (table, newest)]
    return newest, [key.definition.replace(f"REFERENCES {newest}(", f"REFERENCES {table}(") for key in own]


def _month(table: str, month: int, like: str, own: list[str]) -> list[str]:
    """Return the statements that make an empty partition and attach it. `own`: foreign keys to the table itself."""
    name = name_of(table, month)
    return [
        f"CREATE TABLE {name} (LIKE {like} INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING STORAGE)",
        *(f"ALTER TABLE {name} ADD {definition}" for definition in own),
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({first_id(month)}) TO ({first_id(month + 1)})",
    ]


def _keep_unique(table: str) -> list[str]:
    """Return the statements that make a table for each unique constraint, and the trigger that fills them."""
    before, statements = f"{table}_before", []
    uniques = [columns for (columns,) in _rows(_UNIQUES, [table])]
    forget, keep = "", ""
    for number, columns in enumerate(uniques, 1):
        kept, listed = f"{table}_unique_{number}", ", ".join(columns)
        statements += [
            f"CREATE TABLE {kept} AS SELECT {listed} FROM {before} WITH NO DATA",  # noqa: S608
            f"ALTER TABLE {kept} ADD PRIMARY KEY ({listed})",
        ]
        old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
        present = " AND ".join(f"NEW.{column} IS NOT NULL" for column in columns)
        forget += f"DELETE FROM {kept} WHERE ({listed}) = ({old});\n"  # noqa: S608
        keep += f"""
            IF {present} THEN
                IF EXISTS (SELECT 1 FROM {before} WHERE ({listed}) = ({new}) AND id <> NEW.id) THEN
                    RAISE unique_violation USING
                        MESSAGE = 'duplicate key value violates the unique ({listed}) of {table}', TABLE = '{table}';
                END IF;
                INSERT INTO {kept} VALUES ({new});
            END IF;
        """  # noqa: S608
    watched = ", ".join(sorted({column for columns in uniques for column in columns}))
    return [
        *statements,
        f"""
        CREATE FUNCTION {table}_unique() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' THEN {forget} END IF;
            IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
            {keep}
            RETURN NEW;
        END $$
        """,
        f"CREATE TRIGGER {table}_unique BEFORE INSERT OR DELETE OR UPDATE OF {watched} ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION {table}_unique()",
    ]


_UNIQUES = """
    SELECT ARRAY(SELECT attname::text FROM unnest(indkey::int[]) WITH ORDINALITY k(number, place)
                 JOIN pg_attribute ON attrelid = indrelid AND attnum = number ORDER BY place)
    FROM pg_index WHERE indrelid = %s::regclass AND indisunique AND NOT indisprimary ORDER BY indexrelid
"""


# --- Statements -------------------------------------------------------------------------------------------------------


def _briefly(statements: list[str]) -> float:
    """Execute them together in a transaction that waits for no lock for long, again and again; return its seconds.

    In one round trip, so that what they lock waits for PostgreSQL alone.
    """
    together = ";\n".join([f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}", *statements])
    for attempt in _attempts():
        started = time.monotonic()
        try:
            with transaction.atomic():
                _execute(together)
            return time.monotonic() - started
        except OperationalError as error:
            if attempt == ATTEMPTS or not isinstance(error.__cause__, (LockNotAvailable, DeadlockDetected)):
                raise
    raise AssertionError


def _attempts() -> Iterator[int]:
    for attempt in range(1, ATTEMPTS + 1):
        yield attempt
        time.sleep(PAUSE_SECONDS)


def _execute(sql: str, params: list[Any] | None = None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def _rows(sql: str, params: list[Any] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
