"""The search index: one row for each message that is not deleted, written in the message's transaction."""

from collections import defaultdict
from typing import Any

from django.db import models


class WordsField(models.TextField):
    """Folded words in order. A `tsvector` on PostgreSQL, with a GIN index; on SQLite text that FTS5 reads.

    PostgreSQL's parser and dictionaries are not used: the words are split and folded before.
    """

    def db_type(self, connection: Any) -> str | None:
        return "tsvector" if connection.vendor == "postgresql" else super().db_type(connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return vector(value) if connection.vendor == "postgresql" and value is not None else value


def vector(words: str) -> str:
    """Return the words as a `tsvector` in text form. They contain only letters and digits, so nothing is escaped."""
    apart = words.split()
    if len(set(apart)) == len(apart):  # no word twice, as in most messages
        return " ".join([f"'{word}':{place}" for place, word in enumerate(apart, 1)])
    places: dict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(apart, 1):
        places[word].append(place)
    return " ".join([f"'{word}':{','.join(map(str, found[:255]))}" for word, found in places.items()])


class MessageText(models.Model):
    message = models.OneToOneField("chat.Message", on_delete=models.CASCADE, primary_key=True, related_name="+")
    words = WordsField()
    has_link = models.BooleanField(default=False)

    class Meta:
        app_label = "chat"
