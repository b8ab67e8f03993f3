"""Two versions talk to each other during a rolling deployment: what one does not know it ignores."""

import uuid

import msgspec
import pytest

from chat.hub import messages
from chat.log.published import Encoded, Published, Receipt

NAME = uuid.uuid4()
PUBLISHED = Published(7, NAME, (Encoded(3, "message.created", b"{}"), Encoded(4, "member.left", b"{}", 12)))
RECEIPT = Receipt(conversation_id=7, conversation_uuid=NAME, user_id=1, up_to_seq=4, moved=True, shared=False)

# As the version before typed messages sent them: no `v`, no `type` of ours.
PREVIOUS = [
    {"k": "events", "b": [[7, NAME.bytes, [[3, "message.created", b"{}", None], [4, "member.left", b"{}", 12]], 4]]},
    {
        "k": "receipt",
        "r": {
            "conversation_id": 7, "conversation_uuid": str(NAME), "user_id": 1, "up_to_seq": 4, "moved": True,
            "shared": False,
        },
    },
    {"k": "typing", "c": 7, "u": 1, "a": True},
    {"k": "presence", "u": [1, 2], "r": True},
    {"k": "left", "u": [1]},
    {"k": "revoked", "s": [str(NAME)], "reason": "logout"},
    {"k": "suspended", "u": 1},
    {"k": "superseded", "c": ["abc"]},
    {"k": "dropped"},
]  # fmt: skip
CURRENT = [
    messages.Events(b=[messages.batch_of(PUBLISHED)]),
    messages.ReceiptMoved.of(RECEIPT),
    messages.TypingChanged(c=7, u=1, a=True),
    messages.PresenceChanged(u=[1, 2], r=True),
    messages.ProcessLeft(u=[1]),
    messages.SessionsRevoked(s=[str(NAME)], reason="logout"),
    messages.UserSuspended(u=1),
    messages.SocketsSuperseded(c=["abc"]),
    messages.Dropped(),
]
BOTH = list(zip(PREVIOUS, CURRENT, strict=True))


def test_every_kind_is_covered():
    assert {wire["k"] for wire in PREVIOUS} == messages.KINDS


@pytest.mark.parametrize(("wire", "message"), BOTH, ids=[wire["k"] for wire in PREVIOUS])
def test_the_previous_version_is_understood(wire, message):
    assert messages.from_wire({"type": "hub", "o": "elsewhere", **wire}) == message


@pytest.mark.parametrize(("wire", "message"), BOTH, ids=[wire["k"] for wire in PREVIOUS])
def test_the_previous_version_finds_all_it_reads(wire, message):
    sent = messages.to_wire(message)
    if "b" in sent:  # of an event it reads the first four fields
        sent["b"] = [[*batch[:2], [list(event[:4]) for event in batch[2]], *batch[3:]] for batch in sent["b"]]
    assert {key: sent[key] for key in wire} == wire


@pytest.mark.parametrize("message", CURRENT, ids=lambda message: message.__struct_config__.tag)
def test_new_fields_of_a_future_version_are_ignored(message):
    wire = {"type": "hub", "o": "elsewhere", **messages.to_wire(message), "v": 9, "colour": {"deep": [1]}}
    assert msgspec.structs.replace(message, v=9) == messages.from_wire(wire)


def test_new_fields_of_an_event_are_ignored():
    wire = messages.to_wire(CURRENT[0])
    wire["b"] = [[*batch[:2], [[*event, "future"] for event in batch[2]], batch[3], "future"] for batch in wire["b"]]
    assert messages.from_wire(wire) == CURRENT[0]


@pytest.mark.parametrize(
    "wire", [{}, {"k": "from_the_future", "x": 1}, {"k": "echo"}, {"k": "typing", "c": "seven"}, {"k": ["events"]}]
)
def test_what_cannot_be_read_is_nothing(wire):
    assert messages.from_wire({"type": "hub", "o": "elsewhere", **wire}) is None


def test_a_large_batch_is_only_announced():
    large = Published(7, NAME, (Encoded(5, "message.created", b"x" * (messages.INLINE_BYTES + 1)),))
    assert messages.batch_of(large) == messages.Batch(7, NAME.bytes, [], 5)


def test_a_receipt_comes_out_as_it_went_in():
    assert messages.ReceiptMoved.of(RECEIPT).receipt == RECEIPT


def parts(message: messages.Message, limit: int) -> list[messages.Message]:
    payloads = list(messages.encoded(message, origin="here", limit=limit))
    assert all(len(payload) <= limit for payload in payloads)
    return [messages.from_wire(msgspec.msgpack.decode(payload)) for payload in payloads]


def test_what_an_engine_does_not_carry_whole_goes_in_parts_in_order():
    events = tuple(Encoded(seq, "message.created", b"x" * 300) for seq in range(1, 101))
    sent = parts(messages.Events(b=[messages.batch_of(Published(7, NAME, events))]), 8_000)
    assert len(sent) > 3
    assert [event for part in sent for batch in part.b for event in batch.events] == list(events)
    assert all(batch.last_seq == batch.events[-1].seq for part in sent for batch in part.b)


def test_an_event_that_is_too_large_is_only_announced():
    large = Published(7, NAME, (Encoded(3, "message.created", b"x" * 9_000),))
    small = Published(8, NAME, (Encoded(5, "message.created", b"x"),))
    sent = parts(messages.Events(b=[messages.batch_of(one) for one in (large, small)]), 8_000)
    assert [(batch.conversation_id, len(batch.events), batch.last_seq) for part in sent for batch in part.b] == [
        (7, 0, 3),
        (8, 1, 5),
    ]


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (messages.PresenceChanged(u=list(range(5_000)), r=True), "u"),
        (messages.ProcessLeft(u=list(range(5_000))), "u"),
        (messages.SessionsRevoked(s=[str(uuid.UUID(int=n)) for n in range(900)], reason="logout"), "s"),
        (messages.SocketsSuperseded(c=[f"{n:032x}" for n in range(900)]), "c"),
    ],
    ids=["presence", "left", "revoked", "superseded"],
)
def test_long_lists_are_divided_and_nothing_of_them_is_missing(message, field):
    sent = parts(message, 7_900)
    assert len(sent) > 1
    assert [item for part in sent for item in getattr(part, field)] == getattr(message, field)
    empty = msgspec.structs.replace(message, **{field: []})
    assert all(msgspec.structs.replace(part, **{field: []}) == empty for part in sent)
