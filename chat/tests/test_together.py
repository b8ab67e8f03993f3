"""What is asked at the same time goes to the stores together, and harms nobody else."""

import asyncio
import threading
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import OperationalError
from django.utils import timezone

from chat import database
from chat.hub import opening, presence
from chat.hub.opening import Knock, Opened
from chat.hub.together import Together
from chat.services import conversations
from chat.tests.peers import person
from common.errors import TokenNotValid
from sessions.models import UserSession
from sessions.places import sockets as session_sockets


class Work:
    """Doubles; 13 is what harms a whole batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, batch: Any) -> list[int | Exception]:
        self.may_go.wait(60)
        self.batches.append(list(batch))
        if 13 in batch:
            raise ValueError("13")
        if 99 in batch:
            raise OperationalError("away")
        return [KeyError(one) if one == 7 else 2 * one for one in batch]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    async def run(function: Any, *args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    monkeypatch.setattr(database, "run", run)
    return Work()


def together(work: Work, **options: Any) -> Together[int, int]:
    return Together(work, lambda job: tasks.append(asyncio.ensure_future(job)), **options)


tasks: list[Any] = []


async def test_what_comes_in_one_turn_goes_together_and_the_rest_with_the_next(work: Work) -> None:
    asked = together(work)
    work.may_go.clear()
    first = [asked.ask(one) for one in (1, 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late = [asked.ask(one) for one in (3, 4)]
    work.may_go.set()
    assert await asyncio.gather(*first, *late) == [2, 4, 6, 8]
    assert work.batches == [[1, 2], [3, 4]]


async def test_an_answer_may_be_an_error_and_is_its_own(work: Work) -> None:
    asked = together(work)
    answers = await asyncio.gather(*[asked.ask(one) for one in (6, 7, 8)], return_exceptions=True)
    assert (answers[0], answers[2]) == (12, 16)
    assert isinstance(answers[1], KeyError)


async def test_what_harms_the_batch_harms_only_itself(work: Work) -> None:
    asked = together(work)
    answers = await asyncio.gather(*[asked.ask(one) for one in (1, 13, 2)], return_exceptions=True)
    assert (answers[0], answers[2]) == (2, 4)
    assert isinstance(answers[1], ValueError)
    assert work.batches == [[1, 13, 2], [1], [13], [2]]


async def test_an_outage_is_not_waited_for_once_for_each(work: Work) -> None:
    asked = together(work)
    answers = await asyncio.gather(*[asked.ask(one) for one in (1, 99, 2)], return_exceptions=True)
    assert all(isinstance(answer, OperationalError) for answer in answers)
    assert work.batches == [[1, 99, 2]]


async def test_what_nobody_waits_for_any_more_is_handed_back(work: Work) -> None:
    late: list[tuple[int, int]] = []
    asked = together(work, late=lambda one, answer: late.append((one, answer)))
    work.may_go.clear()
    gone, there = asked.ask(1), asked.ask(2)
    asked.tell(5)
    await asyncio.sleep(0)
    gone.cancel()
    work.may_go.set()
    assert await there == 4
    await asyncio.sleep(0)
    assert late == [(1, 2), (5, 10)]


@pytest.mark.django_db
def test_each_of_a_batch_gets_its_own_answer() -> None:
    alice, stranger = person(), person()
    group = conversations.create_group(user_id=alice.id, title="Group", user_ids=[])
    UserSession.objects.filter(session_token__in=[alice.sid, stranger.sid]).update(successor_used=False)
    knocks = [
        Knock(alice.access, uuid.uuid4().hex, group.uuid),
        Knock("no.such.token", uuid.uuid4().hex, None),
        Knock(stranger.access, uuid.uuid4().hex, group.uuid),
        Knock(alice.access, uuid.uuid4().hex, None),
    ]
    first, refused, other, second = opening.open_all(knocks)
    assert isinstance(first, Opened)
    assert isinstance(other, Opened)
    assert isinstance(second, Opened)
    assert isinstance(refused, TokenNotValid)
    assert (first.authenticated.user_id, first.default_is_mine) == (alice.id, True)
    assert [place.conversation_uuid for place in first.places] == [group.uuid]
    assert (other.authenticated.user_id, other.default_is_mine, other.places) == (stranger.id, False, [])
    assert session_sockets.count([alice.sid, stranger.sid]) == {alice.sid: 2, stranger.sid: 1}
    rows = UserSession.objects.filter(session_token__in=[alice.sid, stranger.sid])
    assert all(row.successor_used for row in rows)  # the tokens have arrived
    opening.close_all(
        [
            presence.Entry(known.id, known.sid, knock.connection_id, 0.0)
            for known, knock in ((alice, knocks[0]), (alice, knocks[3]), (stranger, knocks[2]))
        ]
    )
    assert session_sockets.count([alice.sid, stranger.sid]) == {alice.sid: 0, stranger.sid: 0}
    assert not any(state.online for state in presence.states([alice.id, stranger.id]).values())


@pytest.mark.django_db
def test_a_device_is_seen_once_a_minute_and_an_older_token_proves_nothing() -> None:
    alice, bob = person(), person()
    row = UserSession.objects.get(session_token=alice.sid)
    UserSession.objects.filter(pk=row.pk).update(generation=row.generation + 1, successor_used=False)  # rotated since
    later = timezone.now() + timedelta(minutes=2)
    with time_machine.travel(later, tick=False):
        knocks = [Knock(one.access, uuid.uuid4().hex, None) for one in (alice, bob)]
        answers = opening.open_all(knocks)
    assert all(isinstance(answer, Opened) for answer in answers)
    ended = zip((alice, bob), knocks, strict=True)
    opening.close_all([presence.Entry(known.id, known.sid, knock.connection_id, 0.0) for known, knock in ended])
    row.refresh_from_db()
    assert (row.successor_used, row.last_seen_at) == (False, later)
    assert UserSession.objects.get(session_token=bob.sid).last_seen_at == later
