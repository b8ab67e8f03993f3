from django.db import migrations

from users.identity import names
from users.identity.columns import CLASH


def make_keys_anew(apps, schema_editor):
    """Make the keys of the few names that today's rules read differently; where one clashes, it gets a suffix."""
    people = apps.get_model("users", "User").objects.order_by("pk")
    rules = {"username_key": names.skeleton, "username_looks": names.looks}
    for pk, username, *kept in people.values_list("pk", "username", *rules).iterator():
        if username.isascii():
            continue
        for (column, rule), old in zip(rules.items(), kept, strict=True):
            key = rule(username)[:560]
            if old == key or (old or "").startswith(f"{key}{CLASH}"):
                continue
            if people.exclude(pk=pk).filter(**{column: key}).exists():
                key = f"{key}{CLASH}{pk}"
            people.filter(pk=pk).update(**{column: key})


class Migration(migrations.Migration):

    dependencies = [
        ("users", "0008_named_user"),
    ]

    operations = [
        migrations.RunPython(make_keys_anew, migrations.RunPython.noop),
    ]
