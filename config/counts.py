"""Metrics that are counted by signals; events without a signal are counted where they happen."""

from typing import Any

from django.dispatch import receiver

from common.metrics import SECURITY_EVENTS, SESSIONS_ENDED, SIGN_INS
from common.signals import security_event, session_revoked


@receiver(security_event)
def count_security_event(kind: str, **kwargs: Any) -> None:
    SECURITY_EVENTS.labels(kind).inc()
    if kind == "login":
        SIGN_INS.inc()


@receiver(session_revoked)
def count_ended_sessions(sids: list[Any], reason: str, **kwargs: Any) -> None:
    SESSIONS_ENDED.labels(reason).inc(len(sids))
