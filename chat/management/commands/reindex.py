from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.models import Max

from chat.models import Message
from chat.search import index
from chat.search.models import MessageText

BATCH = 1_000


class Command(BaseCommand):
    help = "Build the search index anew, batch by batch, while the server runs."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print a progress bar on a terminal, and one summary line in any case."""
        last = Message.objects.aggregate(last=Max("pk"))["last"] or 0
        count = 0
        for first in range(1, last + 1, BATCH):
            count += reindex(first, first + BATCH)
            if self.stderr.isatty():
                share = min(1.0, (first + BATCH) / last)
                self.stderr.write(f"\r[{'#' * int(share * 40):<40}] {share:4.0%}", ending="")
        if self.stderr.isatty():
            self.stderr.write("")
        self.stdout.write(f"{count} messages indexed")


@transaction.atomic
def reindex(first: int, end: int) -> int:
    """Rebuild the search index of the messages with these ids; return how many. Rows stay locked against edits."""
    # The write comes first: on SQLite it takes the exclusive write lock.
    MessageText.objects.filter(message_id__gte=first, message_id__lt=end).delete()
    found = Message.objects.select_for_update().filter(pk__gte=first, pk__lt=end, deleted_at=None).order_by("pk")
    rows = []
    for pk, content in found.values_list("pk", "content"):
        words, has_link = index.columns(content)
        rows.append(MessageText(message_id=pk, words=words, has_link=has_link))
    MessageText.objects.bulk_create(rows, ignore_conflicts=True)  # a message sent meanwhile is indexed already
    return len(rows)
