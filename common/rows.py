"""Model rows by plain prepared SQL, for the hot paths: without the ORM's compiler, model signals and defaults.

Values pass the model's own fields in both directions, as in the ORM.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import BooleanField, CharField, DateTimeField, JSONField, Model, TextField, UUIDField
from django.db.models.base import ModelState

from common import json, pipelined

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Shape(Generic[M]):
    """The columns of a model that a SELECT names, in this order. What is not read is deferred."""

    model: type[M]
    names: list[str]
    columns: list[str]  # quoted
    converters: list[tuple[int, list[Any], Any]]

    @property
    def select(self) -> str:
        """Return `SELECT … FROM …`, to be completed by conditions."""
        return f"SELECT {', '.join(self.columns)} FROM {table(self.model)}"  # noqa: S608 (names of our own models)

    def values(self, row: Sequence[Any]) -> list[Any]:
        """Return the fields' values for those of the database."""
        values = list(row)
        here = connections[DEFAULT_DB_ALIAS]  # once: each look-up through the proxy costs two microseconds
        for index, converters, column in self.converters:
            for convert in converters:
                values[index] = convert(values[index], column, here)
        return values

    def made(self, row: Sequence[Any]) -> M:
        """Return the model of a row of the database, as `from_db` does."""
        instance = self.model.__new__(self.model)
        instance.__dict__.update(zip(self.names, self.values(row), strict=True))
        instance._state = ModelState()
        instance._state.adding, instance._state.db = False, DEFAULT_DB_ALIAS
        return instance


def table(model: type[Model]) -> str:
    """Return the model's table, quoted."""
    name: str = connection.ops.quote_name(model._meta.db_table)
    return name


def shape(model: type[M], names: tuple[str, ...] = (), *, but: tuple[str, ...] = ()) -> Shape[M]:
    """Return the shape of these columns (all for no name), without those of `but`. A name that is no column is none."""
    return _shape(connection.vendor, model, names, but)


@lru_cache
def _shape(vendor: str, model: type[M], names: tuple[str, ...], but: tuple[str, ...]) -> Shape[M]:
    fields = [f for f in model._meta.concrete_fields if (not names or f.attname in names) and f.attname not in but]
    converters = []
    for index, field in enumerate(fields):
        column = field.get_col(field.model._meta.db_table)
        found = connection.ops.get_db_converters(column) + column.get_db_converters(connection)
        if type(field) is JSONField and field.decoder is None and len(found) == 1:
            found = [_from_json]
        if found:
            converters.append((index, found, column))
    quote: Callable[[Any], str] = connection.ops.quote_name
    return Shape(model, [f.attname for f in fields], [quote(f.column) for f in fields], converters)


def _from_json(value: str | None, column: Any, here: Any) -> Any:
    """Return what Django's converter does, by the quick decoder; what that one refuses is left to Django's.

    Integers of more than 64 bits would become floats; no column of ours has them.
    """
    if value is None:
        return None
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return column.target.from_db_value(value, column, here)


# Fields and values that psycopg takes unchanged. Integers stay with their fields, which choose the width: a statement
# is prepared for each combination of types.
_FIELDS_AS_THEY_ARE = {BooleanField, CharField, DateTimeField, TextField, UUIDField}
_VALUES_AS_THEY_ARE = {bool, str, datetime, UUID, type(None)}


def params(model: type[Model], values: dict[str, Any]) -> list[Any]:
    """Return values (by attribute name) as parameters, each as its field prepares it for the database."""
    return _params(_fields(model, tuple(values)), values.values())


def _params(fields: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    here = connections[DEFAULT_DB_ALIAS]
    if here.vendor != "postgresql":
        return [field.get_db_prep_save(value, here) for field, value in zip(fields, values, strict=True)]
    return [
        value
        if type(field) in _FIELDS_AS_THEY_ARE and type(value) in _VALUES_AS_THEY_ARE
        else field.get_db_prep_save(value, here)
        for field, value in zip(fields, values, strict=True)
    ]


@lru_cache
def _fields(model: type[Model], names: tuple[str, ...]) -> list[Any]:
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    return [by_name[name] for name in names]


def insert(instance: Model) -> Callable[[], None]:
    """Send the INSERT of a new row; return what sets its id if the database gives it.

    Inside `pipelined.one_trip()` call that after the commit, where it costs no round trip. Defaults that a field makes
    while it is saved (`auto_now`) are not made.
    """
    numbered, here = instance.pk is None, connections[DEFAULT_DB_ALIAS]
    sql, fields = _insert(here.vendor, type(instance), numbered)
    params = _params(fields, [getattr(instance, field.attname) for field in fields])
    instance._state.adding, instance._state.db = False, DEFAULT_DB_ALIAS
    if not numbered:
        pipelined.send(sql, params)
        return lambda: None
    here.ensure_connection()
    with here.wrap_database_errors:
        cursor = pipelined.execute(f"{sql} RETURNING id", params)

    def settle() -> None:
        instance.pk = cursor.fetchone()[0]

    if not pipelined.is_postgresql():
        settle()
        return lambda: None
    return settle


def update(instance: Model, values: dict[str, Any]) -> None:
    """Write these columns (attribute names) of a row that is known to be there, and set them on the instance."""
    sql = _update(connections[DEFAULT_DB_ALIAS].vendor, type(instance), tuple(values))
    pipelined.send(sql, [*params(type(instance), values), instance.pk])
    for name, value in values.items():
        setattr(instance, name, value)


@lru_cache
def _update(vendor: str, model: type[Model], names: tuple[str, ...]) -> str:
    sets = ", ".join(f"{connection.ops.quote_name(field.column)} = %s" for field in _fields(model, names))
    return f"UPDATE {table(model)} SET {sets} WHERE id = %s"  # noqa: S608 (names of our own models)


@lru_cache
def _insert(vendor: str, model: type[Model], numbered: bool) -> tuple[str, list[Any]]:
    fields: list[Any] = [f for f in model._meta.concrete_fields if not (numbered and f.primary_key)]
    columns = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {table(model)} ({columns}) VALUES ({marks})", fields  # noqa: S608 (names of our own models)
