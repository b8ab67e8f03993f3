"""Spans of requests and messages, exported where OTEL_EXPORTER_OTLP_ENDPOINT is set (`config/telemetry.py`).

`tracer` is None elsewhere, and whoever would make a span asks for that first: what is off costs one comparison. A span
never holds a body, a query string, a header, an address or a token.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Outcome = TypeVar("Outcome")

tracer: Any = None


def message_span(conversation_uuid: Any, done: Callable[[Outcome], None]) -> Callable[[Outcome], None]:
    """Begin the span of a message at its frame; return `done` so that its call ends the span.

    `done` is called after the commit and after the events were handed to this process's sockets.
    """
    span = tracer.start_span("chat.message", attributes={"chat.conversation": str(conversation_uuid)})

    def end(outcome: Outcome) -> None:
        try:
            done(outcome)
        finally:
            if isinstance(outcome, Exception):
                span.set_attribute("error.type", str(getattr(outcome, "code", type(outcome).__name__)))
            else:
                span.set_attribute("chat.seq", getattr(outcome, "seq", 0))
            span.end()

    return end


def fan_out_span(conversation_uuid: Any, first_seq: int, last_seq: int) -> Any:
    """Return a span, as a context, of handing a conversation's events to the sockets of this process."""
    attributes = {"chat.conversation": str(conversation_uuid), "chat.seq": first_seq, "chat.last_seq": last_seq}
    return tracer.start_as_current_span("chat.fan_out", attributes=attributes)
