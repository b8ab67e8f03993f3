"""What `manage.py purge_expired` removes: each app registers its own in `ready()`, since none may import the others.

purging.register("spent single-use tokens", lambda: PasswordResetToken.objects.filter(expires_at__lt=timezone.now()))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

BATCH_ROWS = 500


def _delete(rows: QuerySet[Any]) -> None:
    rows.delete()


@dataclass(frozen=True)
class Purge:
    """`rows()` is asked anew for each batch, since "expired" means now; `act` takes them out of it."""

    name: str
    rows: Callable[[], QuerySet[Any]]
    act: Callable[[QuerySet[Any]], Any] = _delete

    def count(self) -> int:
        return self.rows().count()

    def batch(self, limit: int = BATCH_ROWS) -> int:
        """Purge at most `limit` rows in a transaction of their own and return how many.

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


_registered: dict[str, Purge] = {}


def register(name: str, rows: Callable[[], QuerySet[Any]], act: Callable[[QuerySet[Any]], Any] = _delete) -> None:
    """Have `rows()` deleted, or treated by `act`, in batches. The same name again replaces."""
    _registered[name] = Purge(name, rows, act)


def registered() -> list[Purge]:
    return list(_registered.values())
