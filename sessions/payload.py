"""JSON representations of sessions and token pairs, for REST and the export."""

import uuid
from typing import Any

from django.utils import timezone

from sessions.models import UserSession
from sessions.places import location, sockets
from sessions.services import assurance
from sessions.tokens.codec import TokenPair

FINGERPRINT_SHOWN = 6


def session(
    user_session: UserSession, *, current_sid: uuid.UUID | None, open_sockets: int | None = None
) -> dict[str, Any]:
    """Return one session; pass `open_sockets` where a list has counted them already."""
    sid = user_session.session_token
    if open_sockets is None:
        open_sockets = sockets.count([sid])[sid]
    client = user_session.client or {}
    return {
        "id": sid,
        "is_current": sid == current_sid,
        "device_name": user_session.device_name,
        "device_fingerprint": user_session.device_fingerprint[-FINGERPRINT_SHOWN:],
        "ip_address": user_session.ip_address,
        "location": location.described(user_session.location),
        "user_agent": user_session.user_agent,
        "client": {name: client.get(name) for name in ("browser", "os", "device")},
        "created_at": user_session.created_at,
        "last_seen_at": user_session.last_seen_at,
        "idle_expires_at": user_session.idle_expires_at,
        "absolute_expires_at": user_session.absolute_expires_at,
        "remember_me": user_session.remember_me,
        "auth_time": assurance.proved_at(user_session),
        "amr": assurance.methods(user_session),
        "sockets": open_sockets,
    }


def tokens(pair: TokenPair, user_session: UserSession, *, open_sockets: int | None = None) -> dict[str, Any]:
    """Return the fields that login and refresh share. The session of the new pair is the current one.

    `open_sockets`: if it is known without asking.
    """
    return {
        "access": pair.access,
        "refresh": pair.refresh,
        "token_type": "Bearer",
        "access_expires_in": pair.access_expires_in,
        "refresh_expires_in": pair.refresh_expires_in,
        "server_time": timezone.now(),
        "session": session(user_session, current_sid=user_session.session_token, open_sockets=open_sockets),
    }
