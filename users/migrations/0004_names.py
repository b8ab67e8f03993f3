from django.db import migrations, models

from users.identity import names
from users.identity.columns import CLASH


def make_keys(apps, schema_editor):
    """Make the keys of names by today's rules; where two old names clash, the older account keeps the plain key."""
    people = apps.get_model("users", "User").objects.order_by("pk")
    names_by_pk = list(people.values_list("pk", "username"))
    for pk, _username in names_by_pk:  # the old keys give way first: another row may hold one that is needed
        people.filter(pk=pk).update(username_key=f"{CLASH}{pk}")
    taken = set()
    for pk, username in names_by_pk:
        keys = {"username_key": names.skeleton(username)[:560], "username_looks": names.looks(username)[:560]}
        for column, key in keys.items():
            if (column, key) in taken:
                keys[column] = f"{key}{CLASH}{pk}"
            taken.add((column, key))
        people.filter(pk=pk).update(**keys)


class Migration(migrations.Migration):

    dependencies = [
        ("users", "0003_factors"),
    ]

    operations = [
        migrations.AddField("user", "username_looks", models.CharField(editable=False, max_length=600, null=True)),
        migrations.RunPython(make_keys, migrations.RunPython.noop),
        migrations.AlterField(
            "user", "username_looks", models.CharField(editable=False, max_length=600, null=True, unique=True)
        ),
    ]
