"""What `manage.py purge_expired` removes: each app registers its own, since none may import the others.

purging.register("reset links", purging.delete_batch(lambda: PasswordResetToken.objects.filter(...)))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet

BATCH_ROWS = 500


class Purge(NamedTuple):
    """`name` for the summary line; `batch(limit)` treats at most `limit` rows and returns how many it did."""

    name: str
    batch: Callable[[int], int]

    def due(self) -> int:
        """Return how many rows wait, as far as the batch can tell: for the progress bar."""
        return self.batch.rows().count() if isinstance(self.batch, Batch) else 0


def _delete(rows: QuerySet[Any]) -> None:
    rows.delete()


@dataclass(frozen=True)
class Batch:
    """`rows()` is asked anew for each batch, since "expired" means now; `act` takes them out of it."""

    rows: Callable[[], QuerySet[Any]]
    act: Callable[[QuerySet[Any]], Any] = _delete

    def __call__(self, limit: int = BATCH_ROWS) -> int:
        """Treat at most `limit` rows in a transaction of their own.

        Rows that another run holds are passed by (PostgreSQL; SQLite has one writer at a time), so that two runs at
        once share the work.
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
    """Return a batch that treats the rows of `rows()` by `act`, after which they are no longer among them."""
    return Batch(rows, act)


_registered: dict[str, Purge] = {}


def register(name: str, batch: Callable[[int], int]) -> None:
    """Have `batch(limit)` called until it finds less than `limit` rows. The same name again replaces."""
    _registered[name] = Purge(name, batch)


def registered() -> list[Purge]:
    return list(_registered.values())
