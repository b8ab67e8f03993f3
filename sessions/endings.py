"""Say what ending sessions will do, before somebody does it."""

import uuid
from collections.abc import Sequence

from django.utils import timezone
from django.utils.translation import ngettext

from sessions.models import UserSession
from sessions.places import sockets

SHOWN = 1_000  # so many sessions are looked at; beyond it the counts say "more than"


def living(user_ids: Sequence[int]) -> list[uuid.UUID]:
    """Return the tokens of these people's living sessions, at most `SHOWN` and one."""
    rows = UserSession.objects.filter(user__in=user_ids, is_active=True, expires_at__gt=timezone.now())
    return list(rows.values_list("session_token", flat=True)[: SHOWN + 1])


def of(sids: Sequence[uuid.UUID]) -> list[str]:
    """Return `Ends 4 sessions.`, `Closes 2 sockets.`"""
    count, open_now = len(sids), sum(sockets.count(sids).values())
    return [
        ngettext("Ends %(count)d session.", "Ends %(count)d sessions.", count) % {"count": count},
        ngettext("Closes %(count)d socket.", "Closes %(count)d sockets.", open_now) % {"count": open_now},
    ]
