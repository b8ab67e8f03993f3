from django.db import migrations, models


def unlogged(apps, schema_editor):
    """Spare the write-ahead log, and leave room in each page for the next version of a row."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE common_sharedentry SET UNLOGGED")
        schema_editor.execute("ALTER TABLE common_sharedentry SET (fillfactor = 60)")


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="SharedEntry",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "key", "field", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.TextField()),
                ("field", models.TextField(default="")),
                ("value", models.BinaryField(default=b"")),
                ("count", models.BigIntegerField(default=0)),
                ("expires_at", models.DateTimeField()),
            ],
        ),
        migrations.RunPython(unlogged, migrations.RunPython.noop),
    ]
