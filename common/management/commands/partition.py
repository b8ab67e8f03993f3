"""Part the large tables by month (PostgreSQL)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from common.postgresql import partitions


class Command(BaseCommand):
    help = (
        "Make messages and events tables with a partition for each month. Safe to repeat, also after an interruption; "
        "while servers run, which wait for the moment of the change. --undo makes them plain tables again; meanwhile "
        "messages are answered 503."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--undo", action="store_true", help="make them plain tables again, with every row")

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Only PostgreSQL has partitions.")
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise CommandError("Run manage.py migrate first.")
        if options["undo"]:
            for table in reversed(partitions.registered()):
                partitions.undo(table, say=self.stdout.write)
                self.stdout.write(f"{table}: one table")
            return
        for table in partitions.registered():
            partitions.convert(table, say=self.stdout.write)
            self.stdout.write(f"{table}: parted by month")
