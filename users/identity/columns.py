"""Model fields that keep names and addresses in one spelling, however a row is written.

`Field.pre_save` covers `save()`, `create()` and `bulk_create()`; a raw save (`loaddata`) skips it, and `bulk_update()`
and `update()` know nothing of other columns: `settle` is called for those (`users.models`, `users.receivers`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from django.db import models

from users.identity import addresses, names

CLASH = "#"  # in no name's key: begins what tells a name from before a rule from the one that it clashes with


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
    """An e-mail address in its stored spelling; what is no address stays as it is (and gets no mail)."""

    plain = "EmailField"

    def settled(self, instance: Any) -> Any:
        value = getattr(instance, self.attname)
        return addresses.settled(value) if isinstance(value, str) else value


class KeyColumn(_Settled, models.CharField):
    """`rule` of the column `source`: what names are compared by, or searched by."""

    plain = "CharField"

    def __init__(self, *args: Any, made_of: tuple[str, Callable[[str], str]] | None = None, **kwargs: Any) -> None:
        self.made_of = made_of
        super().__init__(*args, **kwargs)

    def settled(self, instance: Any) -> Any:
        if self.made_of is None:  # in a migration's state
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
    """Settle the columns named (all of them), and what is made of these; return the columns that were written."""
    written = set()
    for field in instance._meta.concrete_fields:
        source = field.made_of[0] if isinstance(field, KeyColumn) and field.made_of else field.attname
        if isinstance(field, _Settled) and (only is None or source in only):
            field.pre_save(instance, add=False)
            written.add(field.attname)
    return written
