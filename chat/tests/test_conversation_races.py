"""Calls at the same time, in threads that really meet: on SQLite, and on PostgreSQL where that is configured."""

import uuid

import pytest
from django.db import transaction

from chat.models import Conversation, Event, Membership, Message
from chat.services import blocks, conversations, members, messages, reports
from chat.services import settings as choices
from common.errors import NotFound, TokenNotValid
from common.signals import user_closing
from tests.together import together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def group(alice, bob, charlie):
    return conversations.create_group(user_id=alice.pk, title="Garden", user_ids=[bob.pk, charlie.pk])


def whole(conversation):
    """Assert what no order of calls may break: no hole in the log, the count right, an owner wherever somebody is."""
    conversation.refresh_from_db()
    seqs = list(Event.objects.filter(conversation=conversation).order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, conversation.last_seq + 1))
    living = Membership.objects.filter(conversation=conversation, left_seq=None)
    assert conversation.members_count == living.count()
    if conversation.kind == "group" and living.exists():
        assert living.filter(role="owner").exists()


def test_parallel_opens_make_one_direct_conversation(alice, bob):
    pairs = [(alice, bob), (bob, alice)] * 4
    results = together(
        *(
            lambda one=one, other=other: conversations.open_direct(user_id=one.pk, other_id=other.pk)
            for one, other in pairs
        )
    )
    assert len({conversation.pk for conversation, _created in results}) == 1
    assert [created for _conversation, created in results].count(True) == 1
    whole(Conversation.objects.get())


def test_two_owners_leaving_at_once_leave_an_owner(group, alice, bob, charlie):
    members.change_role(user_id=alice.pk, conversation_uuid=group.uuid, member_id=bob.pk, role="owner")
    together(
        lambda: members.leave(user_id=alice.pk, conversation_uuid=group.uuid),
        lambda: members.leave(user_id=bob.pk, conversation_uuid=group.uuid),
    )
    whole(group)
    assert Membership.objects.get(left_seq=None).user == charlie
    assert Membership.objects.get(left_seq=None).role == "owner"


def test_two_owners_stepping_down_at_once_leave_an_owner(group, alice, bob):
    members.change_role(user_id=alice.pk, conversation_uuid=group.uuid, member_id=bob.pk, role="owner")

    def step_down(user):
        return members.change_role(user_id=user.pk, conversation_uuid=group.uuid, member_id=user.pk, role="member")

    results = together(lambda: step_down(alice), lambda: step_down(bob))
    assert sum(isinstance(result, Exception) for result in results) == 1
    whole(group)


def test_adding_the_same_person_at_once_adds_them_once(group, alice, person):
    dora = person("dora")
    add = lambda: members.add(user_id=alice.pk, conversation_uuid=group.uuid, user_ids=[dora.pk])  # noqa: E731
    together(add, add, add, add)
    whole(group)
    assert Membership.objects.filter(user=dora).count() == 1
    assert Event.objects.filter(kind="member.joined", payload__user_id=dora.pk).count() == 1


def test_adding_and_removing_at_once_keeps_the_books(group, alice, bob):
    add = lambda: members.add(user_id=alice.pk, conversation_uuid=group.uuid, user_ids=[bob.pk])  # noqa: E731
    remove = lambda: members.remove(  # noqa: E731
        user_id=alice.pk, conversation_uuid=group.uuid, member_id=bob.pk
    )
    results = together(add, remove, add, remove, add, remove)
    assert all(isinstance(result, NotFound) for result in results if isinstance(result, Exception))
    whole(group)


def test_the_last_place_is_given_once(group, alice, person, settings):
    settings.CHAT_GROUP_MEMBERS = 4
    people = [person(f"p{number}") for number in range(4)]
    together(
        *(
            lambda one=one: members.add(user_id=alice.pk, conversation_uuid=group.uuid, user_ids=[one.pk])
            for one in people
        )
    )
    whole(group)
    assert group.members_count == 4


def test_a_removed_admin_who_was_waiting_adds_nobody(group, alice, bob, person):
    dora = person("dora")
    members.change_role(user_id=alice.pk, conversation_uuid=group.uuid, member_id=bob.pk, role="admin")
    together(
        lambda: members.remove(user_id=alice.pk, conversation_uuid=group.uuid, member_id=bob.pk),
        lambda: members.add(user_id=bob.pk, conversation_uuid=group.uuid, user_ids=[dora.pk]),
    )
    whole(group)
    left = Membership.objects.get(user=bob).left_seq
    joined = Membership.objects.filter(user=dora).first()
    assert joined is None or joined.joined_seq < left


def test_first_settings_at_once_are_one_row(alice):
    together(*[lambda: choices.change(user_id=alice.pk, share_receipts=False)] * 4)
    assert choices.of(alice.pk).share_receipts is False


def test_closing_an_account_while_it_writes_waits_for_nobody_for_ever(group, alice, bob, django_user_model):
    def close():
        with transaction.atomic():
            user_closing.send(sender=None, user_id=alice.pk)
            # A unique column changes, which on PostgreSQL keeps references to the row waiting.
            django_user_model.objects.filter(pk=alice.pk).update(username="closed", is_active=False)

    def write(user):
        return lambda: messages.send(
            user_id=user.pk, session_id=None, conversation_uuid=group.uuid, content="hello", client_msg_id=uuid.uuid4()
        )

    results = together(write(alice), close, write(bob), write(alice), write(bob), write(alice))
    assert all(isinstance(result, NotFound) for result in results if isinstance(result, Exception))
    whole(group)
    last = Message.objects.filter(sender=alice).order_by("-seq").first()
    assert last is None or last.seq < Membership.objects.get(user=alice).left_seq


def test_suspending_a_person_who_is_just_writing_waits_for_nobody_for_ever(group, alice, bob, sign_in, admin_person):
    started = sign_in(bob).started
    said = messages.send(
        user_id=bob.pk, session_id=None, conversation_uuid=group.uuid, content="rude", client_msg_id=uuid.uuid4()
    )
    report, _created = reports.report(user_id=alice.pk, message_uuid=said.message_uuid, reason="rude")

    def write():
        return messages.send(
            user_id=bob.pk,
            session_id=started.user_session.pk,
            conversation_uuid=group.uuid,
            content="more",
            client_msg_id=uuid.uuid4(),
        )

    results = together(
        write, lambda: reports.suspend_sender(report, moderator_id=admin_person.pk), write, write, write, write
    )
    assert all(isinstance(result, TokenNotValid) for result in results if isinstance(result, Exception))
    whole(group)
    with pytest.raises(TokenNotValid):
        write()


def test_parallel_reports_and_blocks_are_one_of_each(group, alice, bob):
    said = messages.send(
        user_id=bob.pk, session_id=None, conversation_uuid=group.uuid, content="rude", client_msg_id=uuid.uuid4()
    )
    made = together(*[lambda: reports.report(user_id=alice.pk, message_uuid=said.message_uuid, reason="rude")] * 4)
    assert [created for _report, created in made].count(True) == 1
    made = together(*[lambda: blocks.block(user_id=alice.pk, blocked_id=bob.pk)] * 4)
    assert [created for _block, created in made].count(True) == 1
