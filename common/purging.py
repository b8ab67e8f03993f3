"""What `manage.py purge_expired` removes: each app registers its own, since none may import the others."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Model, QuerySet

BATCH_ROWS = 500


class Purge(NamedTuple):
    """`name` for the summary line; `batch(limit)` removes at most `limit` rows and returns how many it removed."""

    name: str
    batch: Callable[[int], int]


_registered: dict[str, Purge] = {}


def register(name: str, batch: Callable[[int], int]) -> None:
    _registered[name] = Purge(name, batch)


def registered() -> Iterator[Purge]:
    return iter(_registered.values())


def claim(rows: QuerySet[Model], limit: int) -> list[object]:
    """Lock and return the keys of at most `limit` rows, past those that another run holds. In a transaction.

    PostgreSQL skips locked rows; SQLite has one writer at a time, which is enough.
    """
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    return list(rows.values_list("pk", flat=True)[:limit])


def delete_batch(rows: Callable[[], QuerySet[Model]]) -> Callable[[int], int]:
    """Return a batch that deletes the rows of `rows()`, asked anew each time since "expired" means now."""

    def batch(limit: int) -> int:
        with transaction.atomic():
            found = rows()
            keys = claim(found.order_by("pk"), limit)
            if keys:
                found.model._base_manager.filter(pk__in=keys).delete()
            return len(keys)

    return batch
