from django.db import migrations, models


class AddIndexWhileOthersWrite(migrations.AddIndex):
    """`CREATE INDEX CONCURRENTLY` on PostgreSQL, for a table of any size; what an attempt before left is made anew."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "postgresql" or not self.allow_migrate_model(
            schema_editor.connection.alias, model
        ):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        schema_editor.execute("SET lock_timeout = 0")
        try:
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(self.index.name)}")
            schema_editor.add_index(model, self.index, concurrently=True)
        finally:
            schema_editor.execute("RESET lock_timeout")


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("chat", "0007_accused")]
    operations = [
        AddIndexWhileOthersWrite(
            model_name="message",
            index=models.Index(condition=models.Q(deleted_at__isnull=True), fields=["created_at"], name="chat_message_age"),
        ),
    ]
