"""Expo's push service: up to 100 messages a request, on to FCM and APNs by Expo's own keys."""

import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings

from sessions.push import http
from sessions.push.delivery import Over, still_there
from sessions.push.provider import GONE, OVER, SENT, TOO_LARGE, Kind, Outcome, Provider, Push

LATER = {"MessageRateExceeded", "ExpoError"}


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
            except Over as error:  # one of them signed out a moment ago: the others still go
                ended |= error.registration_ids
                wanted = [push for push in wanted if push.registration_id not in ended]
        found = iter(outcomes(answer, len(wanted)) if answer else [])
        return [OVER if push.registration_id in ended else next(found) for push in pushes]

    def _post(self, pushes: Sequence[Push]) -> http.Answer:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if settings.EXPO_ACCESS_TOKEN:
            headers["Authorization"] = f"Bearer {settings.EXPO_ACCESS_TOKEN}"
        return http.post(
            f"{settings.EXPO_URL}/--/api/v2/push/send",
            headers=headers,
            body=json.dumps([message(push) for push in pushes], default=str).encode(),
            gate=still_there([push.registration_id for push in pushes]),
        )


def outcomes(answer: http.Answer, count: int) -> list[Outcome]:
    """Return one outcome for each ticket; where there are none, what the status says for all."""
    try:
        tickets = json.loads(answer.body)["data"]
        found = [_of_ticket(ticket) for ticket in tickets]
    except (ValueError, KeyError, TypeError, AttributeError):
        found = []
    if answer.status == 200 and len(found) == count:
        return found
    whole = answer.outcome()
    if whole.kind in (Kind.SENT, Kind.GONE):  # the service's own path, or an answer that is none
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
