"""Titles as search compares them, an index of what was taken back, and reactions in one spelling each."""

from typing import Any

from django.db import migrations, models

from chat.services.emoji import qualified
from common.text import fold


def fold_titles(apps: Any, schema_editor: Any) -> None:
    conversations = apps.get_model("chat", "Conversation")
    changed = []
    for row in conversations.objects.exclude(title="").only("id", "title").iterator(chunk_size=1_000):
        row.search_title = fold(row.title)[:600]
        changed.append(row)
        if len(changed) == 1_000:
            conversations.objects.bulk_update(changed, ["search_title"])
            changed = []
    conversations.objects.bulk_update(changed, ["search_title"])


def spell_reactions(apps: Any, schema_editor: Any) -> None:
    reactions = apps.get_model("chat", "Reaction")
    for spelling in reactions.objects.values_list("emoji", flat=True).distinct():
        full = qualified(spelling)
        if full is None or full == spelling:
            continue
        other = reactions.objects.filter(
            message=models.OuterRef("message"), user=models.OuterRef("user"), emoji=full
        )
        rows = reactions.objects.filter(emoji=spelling)
        rows.filter(models.Exists(other)).delete()
        rows.update(emoji=full)


class Migration(migrations.Migration):
    dependencies = [("chat", "0003_attachments")]

    operations = [
        migrations.AddField(
            model_name="conversation",
            name="search_title",
            field=models.CharField(db_default="", default="", editable=False, max_length=600),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)),
                fields=["conversation", "message_no"],
                name="chat_message_taken_back",
            ),
        ),
        migrations.RunPython(fold_titles, migrations.RunPython.noop),
        migrations.RunPython(spell_reactions, migrations.RunPython.noop),
    ]
