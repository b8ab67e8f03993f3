import time

from django.conf import settings
from django.db import migrations, models
from django.db.utils import OperationalError

ATTEMPTS = 60


class AddIndexWhileOthersWrite(migrations.AddIndex):
    """`CREATE INDEX CONCURRENTLY` on PostgreSQL, for a table of any size; what an attempt before left is made anew."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "postgresql" or not self.allow_migrate_model(
            schema_editor.connection.alias, model
        ):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        if settings.DATABASE_POOLED_BY != "none":
            self._again_and_again(model, schema_editor)
            return
        schema_editor.execute("SET lock_timeout = 0")
        try:
            self._make(model, schema_editor)
        finally:
            schema_editor.execute("RESET lock_timeout")

    def _make(self, model, schema_editor):
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}")
        schema_editor.add_index(model, self.index, concurrently=True)

    def _again_and_again(self, model, schema_editor):
        """Behind a pooler a `SET` would reach somebody else's statements, so a wait may end by the lock's time limit."""
        for attempt in range(ATTEMPTS):
            try:
                self._make(model, schema_editor)
                return
            except OperationalError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(1)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("chat", "0007_accused")]
    operations = [
        AddIndexWhileOthersWrite(
            model_name="message",
            index=models.Index(condition=models.Q(deleted_at__isnull=True), fields=["created_at"], name="chat_message_age"),
        ),
    ]
