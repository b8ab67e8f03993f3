"""Whatever people do and in whatever order, a client that follows the contract ends up with the log: once, in order.

Hypothesis writes the stories: send, send again, edit, react, lose the socket, come back with cursors, join and be
removed, while the wakes that carry it all are dropped, repeated and turned round.
"""

import asyncio
import random
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.hub.process import Process
from chat.log.published import Published
from chat.models import Event, Message
from chat.services import conversations, members, messages
from chat.tests import peers
from chat.tests.peers import Known, Peer, connect, person, run
from common.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 3
STEP = st.one_of(
    st.tuples(st.just("send"), st.integers(0, PEOPLE - 1), st.integers(0, 9)),
    st.tuples(st.just("again"), st.integers(0, PEOPLE - 1), st.integers(0, 9)),
    st.tuples(st.just("edit"), st.integers(0, PEOPLE - 1), st.integers(0, 9)),
    st.tuples(st.just("react"), st.integers(0, PEOPLE - 1), st.integers(0, 9)),
    st.tuples(st.just("drop"), st.integers(0, PEOPLE - 1), st.just(0)),
    st.tuples(st.just("return"), st.integers(0, PEOPLE - 1), st.just(0)),
    st.tuples(st.just("kick"), st.integers(1, PEOPLE - 1), st.just(0)),
    st.tuples(st.just("add"), st.integers(1, PEOPLE - 1), st.just(0)),
)


class Reader:
    """A client's half of the delivery promise: apply the next, ignore the old, `sync` on a hole."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.peer: Peer | None = None
        self.last: int | None = None
        self.log: list[int] = []
        self.told_by_rest = 0
        self.epoch = ""

    async def open(self, room: str) -> None:
        if self.peer is not None:
            return
        self.peer = await connect(self.known)
        self.epoch = self.peer.hello["epoch"]
        cursors = {} if self.last is None else {room: self.last}
        await self.peer.send("resume", epoch=self.epoch, cursors=cursors)
        await self.take(room, until="resumed")

    async def drop(self) -> None:
        if self.peer is not None:
            await self.peer.leave()
            self.peer = None

    async def take(self, room: str, *, until: str = "pong") -> None:
        """Read what is there; where it leaves a hole, ask for the rest."""
        assert self.peer is not None
        hole = False
        if until == "pong":
            await self.peer.send("ping")
        while True:
            frame = await self.peer.next()
            for event in frame.get("events", []):
                hole = not self._apply(event, catching_up=until == "resumed") or hole
            if frame["type"] == "removed":
                self.last = None
            if frame["type"] == "gap":
                self.last = self.told_by_rest = frame["last_seq"]  # removed and back again meanwhile
            if frame["type"] in {"error", "bye"}:
                raise AssertionError(frame)
            if frame["type"] == until:
                break
        if hole and self.last is not None:
            await self.peer.send("sync", conversation_uuid=room, after_seq=self.last)
            await self.take(room)

    def _apply(self, event: dict[str, Any], *, catching_up: bool) -> bool:
        if self.last is None:
            self.last = event["seq"] - 1
        if event["seq"] == self.last + 1:
            self.last = event["seq"]
            self.log.append(event["seq"])
        return event["seq"] <= self.last or catching_up


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=st.lists(STEP, min_size=5, max_size=25), seed=st.integers(0, 10_000))
def test_every_story_ends_with_everybody_having_the_log(steps, seed, transactional_db):
    asyncio.run(play(steps, random.Random(seed)))


async def play(steps: list[tuple[str, int, int]], chance: random.Random) -> None:
    async with peers.running() as here:
        _misbehave(here, chance)
        people = [await run(person) for _ in range(PEOPLE)]
        made = await run(
            conversations.create_group, user_id=people[0].id, title="G", user_ids=[one.id for one in people[1:]]
        )
        room = str(made.uuid)
        readers = [Reader(one) for one in people]
        inside = [(1, None)] * PEOPLE  # since which event, up to which
        spans: list[list[tuple[int, int | None]]] = [[span] for span in inside]
        sent: dict[int, uuid.UUID] = {}
        for reader in readers:
            await reader.open(room)
        for what, who, which in steps:
            await _step(what, people, who, which, made, sent, spans)
            if what == "drop":
                await readers[who].drop()
            elif what == "return":
                await readers[who].open(room)
        await here.sweep.sweep()
        for reader in readers:
            await reader.open(room)
        stored = await run(
            lambda: list(Event.objects.filter(conversation=made).order_by("seq").values_list("seq", flat=True))
        )

        def owed(reader: Reader, current: tuple[int, int | None]) -> list[int]:
            return [seq for seq in stored if current[1] is None and seq >= max(current[0], reader.told_by_rest + 1)]

        for turn in range(500):  # a hole is mended a moment after it is seen
            await asyncio.sleep(0.06)
            for reader in readers:
                await reader.take(room)
            if turn >= 2 and all(
                {*owed(reader, mine[-1])} <= {*reader.log} for reader, mine in zip(readers, spans, strict=True)
            ):
                break
        assert stored == list(range(1, len(stored) + 1))
        assert await run(Message.objects.filter(conversation=made).count) == len(sent)
        for reader, mine in zip(readers, spans, strict=True):
            visible = {seq for first, last in mine for seq in stored if first <= seq <= (last or stored[-1])}
            assert set(reader.log) <= visible
            due = owed(reader, mine[-1])
            assert [seq for seq in reader.log if seq in due] == due
            assert reader.log == sorted(set(reader.log))
        for reader in readers:
            await reader.drop()


async def _step(what, people, who, which, made, sent, spans) -> None:
    """Do it over REST's services; refusals are part of the story."""
    me = people[who]
    try:
        if what in {"send", "again"}:
            name = uuid.uuid5(uuid.NAMESPACE_OID, f"{who}-{which}")
            done = await run(
                messages.send, user_id=me.id, session_id=None, conversation_uuid=made.uuid, content=f"{who} {which}",
                client_msg_id=name,
            )  # fmt: skip
            sent[who * 10 + which] = done.message_uuid
        elif what in {"edit", "react"} and (message := sent.get(who * 10 + which)):
            if what == "edit":
                await run(messages.edit, user_id=me.id, session_id=None, message_uuid=message, content=f"{len(sent)}!")
            else:
                await run(messages.react, user_id=me.id, session_id=None, message_uuid=message, emoji="👍")
        elif what == "kick" and spans[who][-1][1] is None:
            await run(members.remove, user_id=people[0].id, conversation_uuid=made.uuid, member_id=me.id)
            spans[who][-1] = (spans[who][-1][0], await _head(made))
        elif what == "add" and spans[who][-1][1] is not None:
            await run(members.add, user_id=people[0].id, conversation_uuid=made.uuid, user_ids=[me.id])
            spans[who].append((await _head(made), None))
    except NotFound:
        return  # of somebody who was removed


async def _head(made: Any) -> int:
    return await run(lambda: type(made).objects.get(pk=made.pk).last_seq)


def _misbehave(here: Process, chance: random.Random) -> None:
    """Drop, repeat and turn round what is published, as a layer between processes may."""
    whole = here.publish
    late: list[list[Published]] = []

    def publish(batch: list[Published]) -> None:
        roll = chance.random()
        if roll < 0.15:
            return
        if roll < 0.3:
            late.append(batch)
            return
        whole(batch)
        if roll < 0.45:
            whole(batch)
        while late and chance.random() < 0.7:
            whole(late.pop())

    here.publish = publish  # type: ignore[method-assign]
