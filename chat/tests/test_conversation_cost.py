"""What lists, counts and history cost: a fixed number of queries, and plans that read the page and not the past."""

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chat.log import catchup
from chat.models import Conversation, Membership, Message
from chat.rest import conversation_payload
from chat.services import conversations, messages
from chat.tests.calls import CONVERSATIONS, api, at, direct, group, say
from tests import plans


def _queries(call):
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert call().status_code == 200
    return len(captured)


def test_the_list_costs_the_same_for_one_and_for_many(alice, bob, charlie, person):
    def talk(*others):
        conversation = group(alice, *others)
        first = say(bob, conversation, "hello @alice")
        say(bob, conversation, "again", reply_to=first["uuid"])
        api(alice).put(f"/api/chat/messages/{first['uuid']}/reactions/👍/")

    talk(bob)
    client = api(alice)
    client.get(CONVERSATIONS)
    one = _queries(lambda: client.get(CONVERSATIONS))
    people = [person(f"p{number}") for number in range(8)]
    for _ in range(6):
        talk(bob, charlie, *people)
    direct(alice, bob)
    assert _queries(lambda: client.get(CONVERSATIONS)) == one
    assert _queries(lambda: client.get(f"{CONVERSATIONS}?q=gard&limit=100")) <= one
    assert one <= 14


def test_the_members_list_costs_the_same_for_one_and_for_many(alice, bob, person):
    small, large = group(alice, bob), group(alice, bob, *[person(f"p{number}") for number in range(30)])
    client = api(alice)
    cost = _queries(lambda: client.get(at(small, "members/")))
    assert _queries(lambda: client.get(at(large, "members/?limit=100"))) == cost


def test_a_group_of_a_thousand_is_created_in_a_fixed_number_of_queries(alice, django_user_model):
    people = django_user_model.objects.bulk_create(
        django_user_model(username=f"p{number}", username_key=f"p{number}", email=f"p{number}@example.com")
        for number in range(999)
    )
    with CaptureQueriesContext(connection) as captured:
        conversation = conversations.create_group(
            user_id=alice.pk, title="All of us", user_ids=[one.pk for one in people]
        )
    assert conversation.members_count == 1_000
    assert conversation.last_seq == 1_001
    # SQLite takes a limited number of values at once, so that a bulk insert is several statements there.
    assert len(captured) <= (12 if connection.vendor == "postgresql" else 60)


@pytest.mark.parametrize("conversations_missed", [1, 12], ids=["one", "twelve"])
def test_a_catch_up_costs_the_same_for_one_and_for_many_conversations(alice, bob, conversations_missed):
    cursors = {}
    for number in range(conversations_missed):
        conversation = group(alice, bob, title=f"g{number}")
        row = Conversation.objects.get(uuid=conversation["uuid"])
        cursors[row.uuid] = row.last_seq
        first = say(bob, conversation, "hello @alice")
        say(bob, conversation, "again", reply_to=first["uuid"])
        api(alice).put(f"/api/chat/messages/{first['uuid']}/reactions/👍/")
    with CaptureQueriesContext(connection) as captured:
        missed = catchup.read(alice.pk, cursors, same_epoch=True)
    kinds = {event.kind for one in missed.ranges for event in one.events}
    assert {len(one.events) for one in missed.ranges} == {3}
    assert kinds == {"message.created", "reaction.added"}
    assert len(captured) <= 9


# --- Plans on PostgreSQL, with a past that is long enough to matter ---------------------------------------------------

PAST = 30_000


@pytest.fixture
def long_past(alice, bob):
    """Two people with 30,000 messages behind them, beside other conversations."""
    conversation = Conversation.objects.get(uuid=group(alice, bob)["uuid"])
    others = [Conversation.objects.get(uuid=group(alice, bob, title=f"g{number}")["uuid"]) for number in range(20)]
    for row, count in [(conversation, PAST), *((other, 500) for other in others)]:
        _fill(row, bob, alice, count)
    with connection.cursor() as cursor:
        plans.analyse(cursor)
    return conversation


def _fill(conversation, sender, reader, count):
    """Write the past in two statements; every tenth message mentions the reader."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO chat_message (uuid, conversation_id, seq, message_no, sender_id, content, client_msg_id,
                                      content_digest, mentions, created_at)
            SELECT gen_random_uuid(), %s, %s + n, n, %s, 'line ' || n, gen_random_uuid(), '', '[]', now()
            FROM generate_series(1, %s) AS n
            """,
            [conversation.pk, conversation.last_seq, sender.pk, count],
        )
        cursor.execute(
            """
            INSERT INTO chat_mention (user_id, conversation_id, message_id, message_no)
            SELECT %s, conversation_id, id, message_no FROM chat_message
            WHERE conversation_id = %s AND message_no %% 10 = 0
            """,
            [reader.pk, conversation.pk],
        )
    conversation.last_message = Message.objects.get(conversation=conversation, message_no=count)
    conversation.last_message_no, conversation.last_seq = count, conversation.last_seq + count
    conversation.save()


def _plan(queries):
    """Return the nodes of the executed plan of each captured SELECT."""
    nodes = []
    for query in queries:
        if not query["sql"].startswith("SELECT"):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query['sql']}")
            plan = cursor.fetchone()[0]
        plan = json.loads(plan) if isinstance(plan, str) else plan
        nodes += _nodes(plan[0]["Plan"])
    return nodes


def _nodes(plan):
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


def _read(nodes, table):
    """Return how many rows of the table were touched, those that a filter threw away included."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes
        if node.get("Relation Name") == table
    )


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize(
    "bounds",
    [{}, {"before_seq": PAST // 2}, {"after_seq": PAST // 2}, {"after_seq": 1}, {"before_seq": PAST}],
    ids=["newest", "before the middle", "after the middle", "from the start", "near the end"],
)
def test_a_page_of_history_reads_the_page_alone(long_past, alice, bounds):
    membership = Membership.objects.get(conversation=long_past, user=alice)
    with CaptureQueriesContext(connection) as captured:
        rows, has_more = messages.page(membership, **{"before_seq": None, "after_seq": None, "limit": 50, **bounds})
    assert (len(rows), has_more) == (50, True)
    nodes = _plan(captured)
    assert _read(nodes, "chat_message") <= 60
    assert not [node for node in nodes if node["Node Type"] in {"Sort", "Incremental Sort"}]
    of_messages = [node for node in nodes if node.get("Relation Name") == "chat_message"]
    assert {node.get("Index Name") for node in of_messages} == {"chat_message_seq"}
    # The reader's membership is looked up once, not for each message.
    assert [node["Actual Loops"] for node in nodes if node.get("Relation Name") == "chat_membership"] == [1]


@pytest.mark.postgres
@pytest.mark.django_db
def test_a_catch_up_reads_the_events_that_were_missed_alone(long_past, alice):
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO chat_event (conversation_id, seq, kind, at, actor_id, message_id, payload)
            SELECT conversation_id, seq, 'message.created', created_at, sender_id, id, '{}' FROM chat_message
            """
        )
        cursor.execute("ANALYZE chat_event")
    heads = dict(Conversation.objects.values_list("uuid", "last_seq"))
    with plans.asked() as asked:
        missed = catchup.read(alice.pk, {name: head - 5 for name, head in heads.items()}, same_epoch=True)
    assert [len(one.events) for one in missed.ranges] == [5] * 21
    nodes = [node for statement in asked for node in plans.plan(*statement)]
    assert _read(nodes, "chat_event") == _read(nodes, "chat_message") == 105


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_list_reads_no_message_but_the_last_ones(long_past, alice):
    rows = list(conversations.listed(user_id=alice.pk).order_by("-updated_at", "-id")[:50])
    with CaptureQueriesContext(connection) as captured:
        shown = conversation_payload.conversations(alice.pk, rows)
    assert len(shown) == 21
    assert _read(_plan(captured), "chat_message") <= 42
    assert shown[0]["unread_count"] + shown[-1]["unread_count"] > 0


@pytest.mark.postgres
@pytest.mark.django_db
def test_unread_counts_read_only_what_is_unread(long_past, alice):
    Membership.objects.filter(user=alice).update(seen_message_no=490)
    Membership.objects.filter(user=alice, conversation=long_past).update(seen_message_no=PAST - 100)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE chat_membership")
    with CaptureQueriesContext(connection) as captured:
        (shown,) = conversation_payload.conversations(alice.pk, [long_past])
    assert (shown["unread_count"], shown["mention_count"]) == (100, 10)
    assert _read(_plan(captured), "chat_mention") <= 20


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize("q", ["", "g1"])
def test_the_list_reads_ones_own_conversations_and_no_others(long_past, alice, q):
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO chat_conversation (uuid, kind, title, description, history_visible, created_at, updated_at,
                                           last_seq, last_message_no, members_count)
            SELECT gen_random_uuid(), 'group', 'g1', '', false, now(), now() + n * interval '1 second', 1, 0, 0
            FROM generate_series(1, 20000) AS n
            """
        )
        plans.analyse(cursor)
    with CaptureQueriesContext(connection) as captured:
        rows = list(conversations.listed(user_id=alice.pk, q=q).order_by("-updated_at", "-id")[:50])
    assert len(rows) == (11 if q else 21)  # g1, g10 to g19
    assert _read(_plan(captured), "chat_conversation") <= 42
