"""Messages are stored once, numbered without holes, and only by those who may."""

import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from chat.log import events
from chat.models import Block, Conversation, Event, Membership, Message
from chat.services import content, messages, sending, store_sql
from common.errors import Blocked, IdempotencyConflict, NotFound, PermissionRefused, ValidationFailed

pytestmark = pytest.mark.django_db


def person(name: str) -> Any:
    return get_user_model().objects.create_user(username=name, email=f"{name}@example.com", password="x")


def conversation_of(*people: Any, kind: str = "group") -> Conversation:
    now = timezone.now()
    row = Conversation.objects.create(kind=kind, created_at=now, updated_at=now, members_count=len(people))
    for place, someone in enumerate(people):
        role = "owner" if kind == "group" and place == 0 else "member"
        Membership.objects.create(conversation=row, user=someone, joined_at=now, joined_seq=1, role=role)
    events.append(row, kind="conversation.created", actor_id=people[0].pk, at=now)
    return row


@pytest.fixture
def alice() -> Any:
    return person("alice")


@pytest.fixture
def bob() -> Any:
    return person("bob")


@pytest.fixture
def charlie() -> Any:
    return person("charlie")


@pytest.fixture
def group(alice: Any, bob: Any) -> Conversation:
    return conversation_of(alice, bob)


def say(someone: Any, where: Conversation, text: str = "Hello", **more: Any) -> sending.Sent:
    return messages.send(user_id=someone.pk, session_id=None, conversation_uuid=where.uuid, content=text, **more)


def test_messages_take_the_next_numbers_and_mark_their_sender_as_having_seen(alice, bob, group):
    sent = [say(alice, group), say(bob, group), say(alice, group)]
    assert [one.seq for one in sent] == [2, 3, 4]
    assert list(Event.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3, 4]
    group.refresh_from_db()
    assert (group.last_seq, group.last_message_no, group.last_message.seq) == (4, 3, 4)
    assert Membership.objects.get(user=bob).seen_seq == 3
    assert Membership.objects.get(user=alice).seen_message_no == 3


def test_a_repeat_is_the_same_message_for_ever(alice, group):
    name = uuid.uuid4()
    first, again = say(alice, group, client_msg_id=name), say(alice, group, client_msg_id=name)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (first.message_uuid, first.seq) == (again.message_uuid, again.seq)
    messages.edit(user_id=alice.pk, session_id=None, message_uuid=first.message_uuid, content="Changed")
    assert say(alice, group, client_msg_id=name).duplicate
    assert Message.objects.count() == 1


def test_two_identical_sends_in_one_batch_are_one_message(alice, group):
    send = sending.Send(
        user_id=alice.pk,
        session_id=None,
        conversation_uuid=group.uuid,
        content="Hello",
        client_msg_id=uuid.uuid4(),
    )
    first, second = sending.store([send, send])
    assert (first.duplicate, second.duplicate) == (False, True)  # type: ignore[union-attr]
    assert first.seq == second.seq  # type: ignore[union-attr]


def test_the_same_id_with_other_content_is_a_conflict(alice, bob, group):
    name = uuid.uuid4()
    say(alice, group, client_msg_id=name)
    with pytest.raises(IdempotencyConflict):
        say(alice, group, "Other", client_msg_id=name)
    with pytest.raises(IdempotencyConflict):
        say(alice, conversation_of(alice, bob), client_msg_id=name)
    assert not say(bob, group, client_msg_id=name).duplicate  # another person's ids are another person's


def test_one_refused_message_harms_no_other_of_its_batch(alice, charlie, group):
    def send(someone: Any, text: str) -> sending.Send:
        return sending.Send(user_id=someone.pk, session_id=None, conversation_uuid=group.uuid, content=text)

    outcomes = sending.store([send(alice, "1"), send(charlie, "2"), send(alice, "3\x00"), send(alice, "4")])
    assert [type(one) for one in outcomes] == [sending.Sent, NotFound, ValidationFailed, sending.Sent]
    assert [one.seq for one in outcomes if isinstance(one, sending.Sent)] == [2, 3]


def test_a_value_that_the_database_refuses_harms_only_itself(alice, group, monkeypatch):
    monkeypatch.setattr(content, "require_sayable", lambda text, **options: text)
    write = store_sql.write

    def fragile(written: Any, **kwargs: Any) -> None:
        if any(row.send.content == "poison" for row in written):
            raise ValueError("poison")
        write(written, **kwargs)

    monkeypatch.setattr(store_sql, "write", fragile)
    texts = ["1", "poison", "2"]
    outcomes = sending.store(
        [sending.Send(user_id=alice.pk, session_id=None, conversation_uuid=group.uuid, content=text) for text in texts]
    )
    assert [type(one) for one in outcomes] == [sending.Sent, ValueError, sending.Sent]
    assert list(Message.objects.values_list("content", "seq")) == [("1", 2), ("2", 3)]


def test_who_was_removed_cannot_even_repeat(alice, bob, group):
    name = uuid.uuid4()
    say(bob, group, client_msg_id=name)
    Membership.objects.filter(user=bob).update(left_seq=2)
    with pytest.raises(NotFound):
        say(bob, group, client_msg_id=name)


@pytest.mark.parametrize("text", ["", "   ", "a\x00b", "x" * 4001])
def test_unspeakable_content_is_refused(alice, group, text):
    with pytest.raises(ValidationFailed):
        say(alice, group, text)


def test_four_thousand_characters_are_allowed(alice, group):
    assert say(alice, group, "é" * 4000).seq == 2


def test_a_block_ends_a_direct_conversation_in_both_directions(alice, bob):
    direct = conversation_of(alice, bob, kind="direct")
    Block.objects.create(blocker=alice, blocked=bob, created_at=timezone.now())
    for someone in (alice, bob):
        with pytest.raises(Blocked):
            say(someone, direct)


def test_a_reply_stays_in_its_conversation(alice, bob, group):
    first = say(alice, group)
    other = say(alice, conversation_of(alice, bob))
    assert say(bob, group, reply_to=first.message_uuid).seq == 3
    with pytest.raises(ValidationFailed):
        say(bob, group, reply_to=other.message_uuid)


def test_members_are_mentioned_by_name_and_strangers_are_not(alice, bob, charlie, group):
    sent = say(alice, group, "@Bob and @charlie, @alice. Mail bob@bob.example")
    assert Message.objects.get(uuid=sent.message_uuid).mentions == [bob.pk]


def test_only_the_sender_edits_and_a_deleted_message_is_gone(alice, bob, group):
    sent = say(bob, group)
    with pytest.raises(PermissionRefused):
        messages.edit(user_id=alice.pk, session_id=None, message_uuid=sent.message_uuid, content="No")
    messages.delete(user_id=alice.pk, session_id=None, message_uuid=sent.message_uuid)  # the owner moderates
    with pytest.raises(NotFound):
        messages.edit(user_id=bob.pk, session_id=None, message_uuid=sent.message_uuid, content="No")
    row = Message.objects.get(uuid=sent.message_uuid)
    assert (row.content, row.seq, row.revisions.get().content) == ("", 2, "Hello")


def test_a_member_cannot_delete_what_another_said(alice, bob, charlie, group):
    sent = say(alice, group)
    with pytest.raises(PermissionRefused):
        messages.delete(user_id=bob.pk, session_id=None, message_uuid=sent.message_uuid)
    with pytest.raises(NotFound):
        messages.delete(user_id=charlie.pk, session_id=None, message_uuid=sent.message_uuid)


@pytest.mark.parametrize("emoji", ["👍", "👍🏽", "❤️", "👨‍👩‍👧", "🇩🇿", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "☺", "🥷"])
def test_an_emoji_is_a_reaction_once(alice, group, emoji):
    sent = say(alice, group)
    for expected in (3, 2):  # the second time nothing changes
        changed = messages.react(user_id=alice.pk, session_id=None, message_uuid=sent.message_uuid, emoji=emoji)
        assert changed.seq == expected


@pytest.mark.parametrize("emoji", ["", "a", "👍👍", "<b>", "1", "🇩", "👍a", "\u200d", "🏽", "x" * 40, "é"])
def test_what_is_no_emoji_is_no_reaction(alice, group, emoji):
    sent = say(alice, group)
    with pytest.raises(ValidationFailed):
        messages.react(user_id=alice.pk, session_id=None, message_uuid=sent.message_uuid, emoji=emoji)
