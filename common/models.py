"""The one table of what processes share without Redis: counts, cached values, open sockets."""

from django.db import models


class SharedEntry(models.Model):
    """A value with an end; `common.shared_table` reads and writes it. Losing all of it loses nobody's message.

    On PostgreSQL the table is unlogged: fast, emptied by a crash, and not on a standby.
    """

    pk = models.CompositePrimaryKey("key", "field")
    key = models.TextField()
    field = models.TextField(default="")
    value = models.BinaryField(default=b"")
    count = models.BigIntegerField(default=0)
    expires_at = models.DateTimeField()
