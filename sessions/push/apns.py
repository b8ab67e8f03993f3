"""Apple Push Notification service over HTTP/2 with token keys (a `.p8` of the developer account)."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sessions.models import PushRegistration
from sessions.push import http
from sessions.push.gate import still_there
from sessions.push.provider import GONE, Kind, Outcome, Provider, Push

# Apple refuses a token that is older than an hour, and one that is renewed more often than every 20 minutes.
RENEW_SECONDS = 45 * 60
PAYLOAD_BYTES = 4_096
DEVICE_GONE = {"BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken"}
NEEDED = ("APNS_KEY", "APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC")


def key() -> Any:
    """Return the signing key, None if APNs is not configured. Raises ImproperlyConfigured if it is half configured."""
    given = [name for name in NEEDED if getattr(settings, name)]
    if not given:
        return None
    if missing := [name for name in NEEDED if name not in given]:
        raise ImproperlyConfigured(f"APNs needs {', '.join(missing)} too.")
    try:
        found = serialization.load_pem_private_key(settings.APNS_KEY.replace("\\n", "\n").encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None  # type: ignore[assignment]
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise ImproperlyConfigured("APNS_KEY is not the .p8 of an APNs key.")
    return found


class Apns(Provider):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token, self._signed_at, self._of = "", 0.0, ("", "")

    def is_configured(self) -> bool:
        return key() is not None

    def origin(self, push: Push) -> str:
        is_sandbox = push.environment == PushRegistration.Environment.SANDBOX
        return settings.APNS_SANDBOX_URL if is_sandbox else settings.APNS_URL

    def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        if not self.is_configured():
            return [Outcome(Kind.FAILED, "not configured")] * len(pushes)
        return [self._send(push) for push in pushes]

    def _send(self, push: Push, *, again: bool = True) -> Outcome:
        body = json.dumps(payload(push), ensure_ascii=False, separators=(",", ":"), default=str).encode()
        if len(body) > PAYLOAD_BYTES:
            return Outcome(Kind.TOO_LARGE)
        token = self._provider_token()
        headers = {
            "authorization": f"bearer {token}",
            "apns-topic": settings.APNS_TOPIC,
            "apns-push-type": "background" if push.is_silent else "alert",
            "apns-priority": "10" if push.urgent and not push.is_silent else "5",
            "apns-expiration": str(int(time.time()) + settings.PUSH_TTL),
            "content-type": "application/json",
        }
        if push.collapse:
            headers["apns-collapse-id"] = push.collapse[:64]
        answer = http.post(
            f"{self.origin(push)}/3/device/{push.token}",
            headers=headers,
            body=body,
            gate=still_there([push.registration_id]),
        )
        why = reason(answer.body)
        if why in DEVICE_GONE:
            return GONE
        if why == "ExpiredProviderToken" and again:
            self._forget(token)
            return self._send(push, again=False)
        return answer.outcome()

    def _provider_token(self) -> str:
        with self._lock:
            of = (settings.APNS_KEY_ID, settings.APNS_TEAM_ID)
            now = time.time()
            if not self._token or not 0 <= now - self._signed_at < RENEW_SECONDS or self._of != of:
                claims = {"iss": settings.APNS_TEAM_ID, "iat": int(now)}
                self._token = jwt.encode(claims, key(), algorithm="ES256", headers={"kid": settings.APNS_KEY_ID})
                self._signed_at, self._of = now, of
            return self._token

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = ""


def reason(body: bytes) -> str:
    """Return Apple's reason for a refusal, "" if there is none."""
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        return ""


def payload(push: Push) -> dict[str, Any]:
    """Return the request body: `aps` for the operating system, our data beside it."""
    aps: dict[str, Any] = {"content-available": 1}
    if not push.is_silent:
        alert = {name: text for name, text in (("title", push.title), ("body", push.body)) if text}
        aps |= {"alert": alert, "sound": "default", "mutable-content": 1}
        if push.collapse:
            aps["thread-id"] = push.collapse
        if push.badge is not None:
            aps["badge"] = push.badge
    return {"aps": aps, **{name: value for name, value in push.data.items() if name not in ("title", "body")}}
