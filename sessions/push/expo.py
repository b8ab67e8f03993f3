"""Expo's push service: up to 100 messages a request, forwarded to FCM and APNs with Expo's own credentials.

Expo answers before Google or Apple do: whether a device is gone is in a receipt, some minutes later.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django_tasks import task

from sessions.models import PushRegistration
from sessions.push import http, registrations
from sessions.push.gate import Over, still_there
from sessions.push.provider import GONE, OVER, SENT, TOO_LARGE, Kind, Outcome, Provider, Push

LATER = {"MessageRateExceeded", "ExpoError"}
RECEIPTS_AFTER = timedelta(minutes=15)  # Expo's advice

log = structlog.get_logger(__name__)


class Expo(Provider):
    batch = 100

    def is_configured(self) -> bool:
        return settings.EXPO_PUSH

    def origin(self, push: Push) -> str:
        return settings.EXPO_URL

    def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        if not self.is_configured():
            return [Outcome(Kind.FAILED, "not configured")] * len(pushes)
        wanted = list(pushes)
        ended: set[int] = set()
        answer = None
        while wanted and answer is None:
            try:
                answer = self._post(wanted)
            except Over as error:  # one of them has just signed out: the others are still sent
                ended |= error.registration_ids
                wanted = [push for push in wanted if push.registration_id not in ended]
        if answer is not None:
            ask_for_receipts(answer, wanted)
        found = iter(outcomes(answer, len(wanted)) if answer else [])
        return [OVER if push.registration_id in ended else next(found) for push in pushes]

    def _post(self, pushes: Sequence[Push]) -> http.Answer:
        return http.post(
            f"{settings.EXPO_URL}/--/api/v2/push/send",
            headers=headers(),
            body=json.dumps([message(push) for push in pushes], default=str).encode(),
            gate=still_there([push.registration_id for push in pushes]),
        )


def headers() -> dict[str, str]:
    given = {"Content-Type": "application/json", "Accept": "application/json"}
    if settings.EXPO_ACCESS_TOKEN:
        given["Authorization"] = f"Bearer {settings.EXPO_ACCESS_TOKEN}"
    return given


def _tickets(answer: http.Answer) -> list[dict[str, Any]]:
    """Return the tickets of the answer, [] if it has none."""
    try:
        found = json.loads(answer.body)["data"]
    except (ValueError, KeyError, TypeError):
        return []
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else []


def ask_for_receipts(answer: http.Answer, pushes: Sequence[Push]) -> None:
    """Enqueue the request for the receipts of the pushes that Expo accepted."""
    tickets = _tickets(answer)
    if len(tickets) != len(pushes):
        return
    taken = [
        [str(ticket["id"]), registrations.digest_of("expo", push.token)]
        for ticket, push in zip(tickets, pushes, strict=True)
        if ticket.get("status") == "ok" and ticket.get("id")
    ]
    try:
        if taken:
            receipts.using(run_after=timezone.now() + RECEIPTS_AFTER).enqueue(taken=taken)
    except DatabaseError as error:  # the pushes themselves were sent
        log.warning("push.receipts_not_enqueued", error=type(error).__name__)


@task(queue_name="push")
def receipts(taken: list[list[str]]) -> None:
    """Delete the devices that Expo reports as gone. `taken`: `[ticket id, address digest]`. Raises Unreachable."""
    answer = http.post(
        f"{settings.EXPO_URL}/--/api/v2/push/getReceipts",
        headers=headers(),
        body=json.dumps({"ids": [ticket_id for ticket_id, _digest in taken]}).encode(),
    )
    try:
        found = json.loads(answer.body)["data"]
        gone = {
            digest
            for ticket_id, digest in taken
            if (found.get(ticket_id, {}).get("details") or {}).get("error") == "DeviceNotRegistered"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise http.Unreachable(str(answer.status)) from None
    PushRegistration.objects.filter(digest__in=gone).delete()


def outcomes(answer: http.Answer, count: int) -> list[Outcome]:
    """Return one outcome for each ticket; without tickets, the outcome of the HTTP status for all."""
    found = [_of_ticket(ticket) for ticket in _tickets(answer)]
    if answer.status == 200 and len(found) == count:
        return found
    whole = answer.outcome()
    if whole.kind in (Kind.SENT, Kind.GONE):  # a 404 of Expo's own URL, or a success without tickets
        whole = Outcome(Kind.FAILED, f"answered {answer.status}")
    return [whole] * count


def _of_ticket(ticket: dict[str, Any]) -> Outcome:
    if ticket.get("status") == "ok":
        return SENT
    error = str((ticket.get("details") or {}).get("error", ""))
    if error == "DeviceNotRegistered":
        return GONE
    if error == "MessageTooBig":
        return TOO_LARGE
    return Outcome(Kind.LATER if error in LATER else Kind.FAILED, error)


def message(push: Push) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "to": push.token,
        "data": dict(push.data),
        "ttl": settings.PUSH_TTL,
        "priority": "high" if push.urgent and not push.is_silent else "normal",
        "_contentAvailable": True,
    }
    if not push.is_silent:
        shown |= {"title": push.title, "body": push.body, "sound": "default", "mutableContent": True}
        if push.badge is not None:
            shown["badge"] = push.badge
    return shown
