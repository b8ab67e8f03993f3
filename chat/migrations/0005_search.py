"""The index of messages; `manage.py reindex` fills it with what was said before."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models

import chat.search.models

_POSTGRESQL = ["CREATE INDEX chat_messagetext_words ON chat_messagetext USING gin (words) WITH (fastupdate = off)"]
_SQLITE = [
    # External content: the words are stored once. The categories keep marks of Indic scripts within their words.
    """CREATE VIRTUAL TABLE chat_messagetext_fts USING fts5(
        words, content='chat_messagetext', content_rowid='message_id', prefix='2 3',
        tokenize="unicode61 remove_diacritics 0 categories 'L* M* N* Co Cn'")""",
    """CREATE TRIGGER chat_messagetext_added AFTER INSERT ON chat_messagetext BEGIN
        INSERT INTO chat_messagetext_fts(rowid, words) VALUES (new.message_id, new.words); END""",
    """CREATE TRIGGER chat_messagetext_removed AFTER DELETE ON chat_messagetext BEGIN
        INSERT INTO chat_messagetext_fts(chat_messagetext_fts, rowid, words)
        VALUES ('delete', old.message_id, old.words); END""",
    """CREATE TRIGGER chat_messagetext_changed AFTER UPDATE ON chat_messagetext BEGIN
        INSERT INTO chat_messagetext_fts(chat_messagetext_fts, rowid, words)
        VALUES ('delete', old.message_id, old.words);
        INSERT INTO chat_messagetext_fts(rowid, words) VALUES (new.message_id, new.words); END""",
]


def make_index(apps: Any, schema_editor: Any) -> None:
    for statement in _POSTGRESQL if schema_editor.connection.vendor == "postgresql" else _SQLITE:
        schema_editor.execute(statement)


def drop_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        schema_editor.execute("DROP TABLE chat_messagetext_fts")


class Migration(migrations.Migration):
    dependencies = [("chat", "0004_folded_titles")]

    operations = [
        migrations.CreateModel(
            name="MessageText",
            fields=[
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="chat.message",
                    ),
                ),
                ("words", chat.search.models.WordsField()),
                ("has_link", models.BooleanField(default=False)),
            ],
        ),
        migrations.RunPython(make_index, drop_index),
    ]
