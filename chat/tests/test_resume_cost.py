"""Plans, no times, of a resume on PostgreSQL in a conversation with a long past."""

import json

import pytest
from django.db import connection

from chat.log import catchup
from chat.models import Conversation
from chat.tests.test_conversation_cost import long_past  # noqa: F401 (a fixture)
from tests import plans

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]
BEHIND = 200


@pytest.fixture
def logged(long_past):  # noqa: F811
    """The event of each message of the past, in all conversations, and a reaction to each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_event (conversation_id, seq, kind, at, actor_id, message_id, payload) "
            "SELECT conversation_id, seq, 'message.created', created_at, sender_id, id, '{}' FROM chat_message m "
            "ON CONFLICT DO NOTHING"
        )
        cursor.execute(
            "INSERT INTO chat_reaction (message_id, user_id, emoji, created_at) "
            "SELECT id, sender_id, '👍', created_at FROM chat_message"
        )
        plans.analyse(cursor)
    return Conversation.objects.get(pk=long_past.pk)


def _read(asked):
    """Return how many events and messages the statements read; none may read a table through."""
    nodes = [node for statement in asked for node in plans.plan(*statement)]
    through = [node for node in nodes if node["Node Type"] == "Seq Scan"]
    assert not {node["Relation Name"] for node in through} & {"chat_event", "chat_message", "chat_reaction"}
    return plans.rows_read(nodes, "chat_event"), plans.rows_read(nodes, "chat_message")


def test_a_resume_reads_what_was_missed_alone(logged, alice):
    cursors = dict(Conversation.objects.values_list("uuid", "last_seq"))
    cursors[logged.uuid] -= BEHIND
    for resumed in (
        lambda: catchup.read(alice.pk, cursors, same_epoch=True),
        lambda: catchup.read_one(alice.pk, logged.uuid, cursors[logged.uuid]),
    ):
        with plans.asked() as asked:
            found = resumed()
        told = [json.loads(event.raw) for one in found.ranges for event in one.events]
        assert len(told) == BEHIND
        assert {event["data"]["reactions"][0]["emoji"] for event in told} == {"👍"}
        events, messages = _read(asked)
        assert BEHIND <= events <= BEHIND + 10
        assert messages <= BEHIND + 10
    # A hole in the feed is read by its beginning, heads and places read no past at all.
    with plans.asked() as asked:
        assert len(catchup.holes({logged.pk: logged.last_seq - 5})[logged.pk].events) == 5
    assert _read(asked)[0] <= 3 * 5
    with plans.asked() as asked:
        assert catchup.heads([logged.pk]) == {logged.pk: logged.last_seq}
        assert len(catchup.places(alice.pk)) == 21
    assert _read(asked) == (0, 0)
