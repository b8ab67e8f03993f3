# The figure of tasks that wait or failed reads those alone, however many have been done.

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [("users", "0006_support_indexes")]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX users_tasks_open ON django_tasks_database_dbtaskresult (status) "
            "WHERE status IN ('READY', 'RUNNING', 'FAILED')",
            "DROP INDEX users_tasks_open",
        ),
    ]
