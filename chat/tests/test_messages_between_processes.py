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
