# After 0006 in a transaction of its own: PostgreSQL indexes no table with pending checks of foreign keys.

from django.db import migrations, models


def name_the_accused(apps, schema_editor):
    report, message = apps.get_model("chat", "Report"), apps.get_model("chat", "Message")
    sender = message.objects.filter(pk=models.OuterRef("message")).values("sender")[:1]
    report.objects.filter(accused=None).update(accused=models.Subquery(sender))


class Migration(migrations.Migration):

    dependencies = [("chat", "0006_moderation")]

    operations = [migrations.RunPython(name_the_accused, migrations.RunPython.noop)]
