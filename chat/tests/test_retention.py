"""What is older than a kind of conversation keeps goes, for everybody and from every table."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from chat.models import Message, MessageRevision
from chat.services import retention
from chat.tests import files
from chat.tests.calls import api, at, direct, events, group, say

pytestmark = pytest.mark.django_db


def texts(user: Any, room: dict[str, Any]) -> list[str]:
    return [row["content"] for row in api(user).get(at(room, "messages/")).json()["results"]]


@pytest.fixture
def rooms(alice: Any, bob: Any, settings: Any, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    with time_machine.travel(timezone.now() - timedelta(days=40), tick=False):
        pair, room = direct(alice, bob), group(alice, bob)
        for place in (pair, room):
            old = say(alice, place, "old", attachments=[files.upload(alice, b"old")["uuid"]])
            api(alice).patch(f"/api/chat/messages/{old['uuid']}/", {"content": "older"})
    for place in (pair, room):
        say(bob, place, "new", reply_to=None)
    return pair, room


def test_nothing_goes_by_default(alice: Any, rooms: Any) -> None:
    call_command("purge_expired")
    assert [texts(alice, room) for room in rooms] == [["older", "new"]] * 2


def test_each_kind_of_conversation_has_its_own_time(
    alice: Any, bob: Any, rooms: Any, settings: Any, run_tasks: Callable[[], int], tmp_path: Path
) -> None:
    settings.CHAT_RETENTION_GROUP_DAYS = 30
    settings.CHAT_RETENTION_DIRECT_DAYS = 50
    pair, room = rooms
    call_command("purge_expired")
    run_tasks()
    assert (texts(alice, pair), texts(alice, room)) == (["older", "new"], ["", "new"])
    assert events(room)[-1][1] == "message.deleted"
    assert events(pair)[-1][1] == "message.created"
    assert not MessageRevision.objects.filter(message__conversation__uuid=room["uuid"]).exists()
    assert MessageRevision.objects.filter(message__conversation__uuid=pair["uuid"]).exists()
    assert len([path for path in (tmp_path / "media").rglob("*") if path.is_file()]) == 1
    before = events(room)
    call_command("purge_expired")
    assert events(room) == before
    assert Message.objects.filter(conversation__uuid=room["uuid"]).count() == 2


def test_what_is_due_is_found_by_the_index_of_age(db: None, settings: Any) -> None:
    settings.CHAT_RETENTION_GROUP_DAYS = 30
    settings.CHAT_RETENTION_DIRECT_DAYS = 50
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # A table as small as this would be read whole and sorted: the planner may not.
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            cursor.execute("SET LOCAL enable_sort = off")
    plan = retention.due_messages(retention._bounds())[:500].explain()
    assert "chat_message_age" in plan
    assert "TEMP B-TREE" not in plan, "it is read in order, and no further than asked"
    assert not plan.startswith("Limit") or "Sort" not in plan
