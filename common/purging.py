"""Registry of purges for `manage.py purge_expired`: each app registers its own, since apps must not import each other.

purging.register("reset links", purging.delete_batch(lambda: PasswordResetToken.objects.filter(...)))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

BATCH_ROWS = 500


class Purge(NamedTuple):
    """A registered purge. `name` is for the summary; `batch(limit)` handles at most `limit` rows, returns how many."""

    name: str
    batch: Callable[[int], int]

    def due(self) -> int:
        """Return how many rows are due, if the batch knows, for the progress bar."""
        return self.batch.rows().count() if isinstance(self.batch, Batch) else 0


def _delete(rows: QuerySet[Any]) -> None:
    rows.delete()


@dataclass(frozen=True)
class Batch:
    """Batch over a queryset. `rows()` is evaluated each time, since "expired" depends on now; `act` handles them."""

    rows: Callable[[], QuerySet[Any]]
    act: Callable[[QuerySet[Any]], Any] = _delete

    def __call__(self, limit: int = BATCH_ROWS) -> int:
        """Handle at most `limit` rows in a separate transaction.

        Rows locked by another run are skipped (PostgreSQL; SQLite has one writer at a time), so that parallel runs
        share the work.
        """
        with transaction.atomic():
            found = self.rows().order_by("pk")
            if connection.features.has_select_for_update_skip_locked:
                found = found.select_for_update(skip_locked=True, of=("self",))
            keys = list(found.values_list("pk", flat=True)[:limit])
            if keys:
                self.act(found.model._base_manager.filter(pk__in=keys))
            return len(keys)


def delete_batch(rows: Callable[[], QuerySet[Any]]) -> Batch:
    """Return a batch that deletes the rows of `rows()`."""
    return Batch(rows)


def update_batch(rows: Callable[[], QuerySet[Any]], act: Callable[[QuerySet[Any]], Any]) -> Batch:
    """Return a batch that applies `act` to the rows of `rows()`, after which `rows()` no longer contains them."""
    return Batch(rows, act)


_registered: dict[str, Purge] = {}


def register(name: str, batch: Callable[[int], int]) -> None:
    """Register `batch(limit)`, which is called until it handles fewer than `limit` rows. A repeated name replaces."""
    _registered[name] = Purge(name, batch)


def registered() -> list[Purge]:
    return list(_registered.values())
