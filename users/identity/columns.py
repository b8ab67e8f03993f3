"""Model fields that normalise names and addresses, however a row is written.

`Field.pre_save` covers `save()`, `create()` and `bulk_create()`; a raw save (`loaddata`) skips it, and `bulk_update()`
and `update()` do not touch derived columns: those call `settle` (`users.models`, `users.receivers`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from django.db import models

from users.identity import addresses, names

CLASH = "#"  # occurs in no key: starts the suffix of an older name whose key clashes under a newer rule


class _Settled(ABC):
    """A model field that normalises its value before each save; migrations record it as Django's plain field."""

    plain = ""

    @abstractmethod
    def settled(self, instance: Any) -> Any:
        """Return the normalised value of this column."""

    def pre_save(self, instance: Any, add: bool) -> Any:
        value = self.settled(instance)
        setattr(instance, self.attname, value)  # type: ignore[attr-defined]
        return value

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        name, _path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        kwargs.pop("made_of", None)
        return name, f"django.db.models.{self.plain}", args, kwargs


class NameColumn(_Settled, models.CharField):
    """A username in NFKC."""

    plain = "CharField"

    def settled(self, instance: Any) -> Any:
        value = getattr(instance, self.attname)
        return names.normalise(value) if isinstance(value, str) else value


class AddressColumn(_Settled, models.EmailField):
    """An e-mail address in its stored form; an invalid one is stored unchanged (and gets no mail)."""

    plain = "EmailField"

    def settled(self, instance: Any) -> Any:
        value = getattr(instance, self.attname)
        return addresses.settled(value) if isinstance(value, str) else value


class KeyColumn(_Settled, models.CharField):
    """A derived key for comparison or search: `rule` applied to the column `source` (`made_of`)."""

    plain = "CharField"

    def __init__(self, *args: Any, made_of: tuple[str, Callable[[str], str]] | None = None, **kwargs: Any) -> None:
        self.made_of = made_of
        super().__init__(*args, **kwargs)

    def settled(self, instance: Any) -> Any:
        if self.made_of is None:  # a model of a migration's state
            return getattr(instance, self.attname)
        source, rule = self.made_of
        key = rule(str(getattr(instance, source) or ""))[: self.max_length]
        kept = str(getattr(instance, self.attname) or "")
        return kept if kept.startswith(f"{key}{CLASH}") else key

    def clone(self) -> Any:
        made = super().clone()
        made.made_of = self.made_of
        return made


def settle(instance: models.Model, *, only: set[str] | None = None) -> set[str]:
    """Normalise the named columns (default: all) and their derived keys; return the columns that were written."""
    written = set()
    for field in instance._meta.concrete_fields:
        source = field.made_of[0] if isinstance(field, KeyColumn) and field.made_of else field.attname
        if isinstance(field, _Settled) and (only is None or source in only):
            field.pre_save(instance, add=False)
            written.add(field.attname)
    return written
