"""Words that bring a message before the moderators: it is delivered as any other, and a report is opened for it.

The list is read in the background every `READ_SECONDS`, so that storing a message never waits for it. While it is empty
a message costs one look at an empty set.
"""

import asyncio
import contextlib
import uuid

import msgspec
import structlog
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone
from django_tasks import task

from chat.log.published import Published
from chat.models import Message, ModeratedWord, Report
from chat.search import words

log = structlog.get_logger(__name__)

READ_SECONDS = 30.0
FOUND = "word list"

_words: frozenset[str] = frozenset()
_reading: list[asyncio.Task[None]] = []


class _Data(msgspec.Struct):
    uuid: str = ""
    content: str = ""


class _Event(msgspec.Struct):
    data: _Data


_decoder = msgspec.json.Decoder(_Event)


def load() -> None:
    """Read the list; what it cannot read stays as it was."""
    global _words
    _words = frozenset(ModeratedWord.objects.values_list("folded", flat=True)[:10_000])


def held(content: str) -> str:
    """Return the first listed word that the text holds as a word of its own, in any case and with any accents."""
    return next((one.text for one in words.words(content) if one.text in _words), "") if _words else ""


def key(word: str) -> str:
    """Return how a word of the list is compared: as search does it; nothing for what is not one word."""
    found = words.words(word)
    return found[0].text[:128] if len(found) == 1 else ""


def note(batch: list[Published]) -> None:
    """Look at what was just committed. A listener of `chat.log.published`: it raises nothing."""
    if not _words:
        return
    for published in batch:
        for event in published.events:
            if event.kind in {"message.created", "message.edited"}:
                try:
                    data = _decoder.decode(event.raw).data
                    if held(data.content):
                        report.enqueue(message_uuid=data.uuid)
                except Exception as error:
                    log.warning("word_list.not_looked_at", error=type(error).__name__)


@task()
def report(message_uuid: str) -> None:
    """Open a report without a reporter, once for each message, unless the message was edited or removed meanwhile."""
    message = Message.objects.filter(uuid=uuid.UUID(message_uuid), deleted_at=None).first()
    if message is None:
        return
    load()
    word = held(message.content)
    if not word:
        return
    row, created = Report.objects.get_or_create(
        message=message,
        reporter=None,
        reason=FOUND,
        defaults={"created_at": timezone.now(), "accused_id": message.sender_id},
    )
    if created:
        log.info("moderation.word_found", report=str(row.uuid), message=message_uuid)


def _load_in_a_thread() -> None:
    try:
        load()
    finally:
        connection.close()  # back to the pool: each time it may be another thread


async def start() -> None:
    """Begin to read the list in the background (a lifespan hook)."""
    _reading.append(asyncio.create_task(_read_again_and_again(), name="word-list"))


async def stop() -> None:
    while _reading:
        one = _reading.pop()
        one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one


async def _read_again_and_again() -> None:
    while True:
        try:
            await sync_to_async(_load_in_a_thread, thread_sensitive=False)()
        except Exception as error:
            log.debug("word_list.database_away", error=type(error).__name__)
        await asyncio.sleep(READ_SECONDS)
