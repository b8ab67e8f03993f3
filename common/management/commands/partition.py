"""Part the large tables by month (PostgreSQL)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from common.postgresql import partitions


class Command(BaseCommand):
    help = (
        "Make messages and events tables with a partition for each month. Safe to repeat, also after an interruption; "
        "while servers run, which wait for the moment of the change. There is no way back but a restored backup."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Only PostgreSQL has partitions.")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("Run manage.py migrate first.")
        for table in partitions.registered():
            partitions.convert(table, say=self.stdout.write)
            self.stdout.write(f"{table}: parted by month")
