"""Firebase Cloud Messaging, HTTP v1 API, with the OAuth token of a service account."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import jwt
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sessions.push import http
from sessions.push.gate import still_there
from sessions.push.provider import GONE, Kind, Outcome, Provider, Push

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
ASSERTION_SECONDS = 3_600
GRANT = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
NEEDED = ("project_id", "client_email", "private_key", "token_uri")
DEVICE_GONE = {"UNREGISTERED", "SENDER_ID_MISMATCH"}


def credentials() -> dict[str, str] | None:
    """Return the service account of `FCM_CREDENTIALS`, None if it is not set. Raises ImproperlyConfigured."""
    if not settings.FCM_CREDENTIALS:
        return None
    try:
        found = json.loads(settings.FCM_CREDENTIALS)
        missing = [name for name in NEEDED if not isinstance(found.get(name), str)]
    except (ValueError, AttributeError):
        raise ImproperlyConfigured("FCM_CREDENTIALS is not the JSON of a service account.") from None
    if missing:
        raise ImproperlyConfigured(f"FCM_CREDENTIALS: {', '.join(missing)} is missing.")
    return found


class Fcm(Provider):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._token, self._until, self._of = "", 0.0, ""

    def is_configured(self) -> bool:
        return credentials() is not None

    def origin(self, push: Push) -> str:
        return settings.FCM_URL

    def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        account = credentials()
        if account is None:
            return [Outcome(Kind.FAILED, "not configured")] * len(pushes)
        return [self._send(account, push) for push in pushes]

    def _send(self, account: dict[str, str], push: Push, *, again: bool = True) -> Outcome:
        token = self._access_token(account)
        if not token:
            return Outcome(Kind.LATER, "no access token")
        answer = http.post(
            f"{settings.FCM_URL}/v1/projects/{account['project_id']}/messages:send",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            body=json.dumps({"message": message(push)}).encode(),
            gate=still_there([push.registration_id]),
        )
        if answer.status == 401 and again:  # the token was revoked before it expired
            self._forget(token)
            return self._send(account, push, again=False)
        if answer.status == 401:
            return Outcome(Kind.LATER, "401")
        code = error_code(answer.body)
        if code in DEVICE_GONE:
            return GONE
        if answer.status == 404:  # the project does not exist; says nothing about the device
            return Outcome(Kind.FAILED, "404")
        return answer.outcome()

    def _access_token(self, account: dict[str, str]) -> str:
        """Return an access token (RFC 7523 §2.1), requested once an hour."""
        with self._lock:
            if self._token and time.time() < self._until and self._of == account["client_email"]:
                return self._token
            now = int(time.time())
            claims = {
                "iss": account["client_email"],
                "scope": SCOPE,
                "aud": account["token_uri"],
                "iat": now,
                "exp": now + ASSERTION_SECONDS,
            }
            key_id = {"kid": account["private_key_id"]} if account.get("private_key_id") else None
            assertion = jwt.encode(claims, account["private_key"], algorithm="RS256", headers=key_id)
            answer = http.post(
                account["token_uri"],
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=f"grant_type={GRANT}&assertion={assertion}".encode(),
            )
            try:
                given = json.loads(answer.body)
                self._token, lasts = str(given["access_token"]), float(given.get("expires_in", 3_600))
            except (ValueError, KeyError, TypeError):
                return ""
            self._until, self._of = time.time() + lasts - 60, account["client_email"]
            return self._token

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = ""


def error_code(body: bytes) -> str:
    """Return FCM's error code, "" if there is none."""
    try:
        details = json.loads(body)["error"].get("details", [])
        return next((str(one["errorCode"]) for one in details if "errorCode" in one), "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def message(push: Push) -> dict[str, Any]:
    """Return the message. FCM requires strings as values of `data`, so the app decodes `sender` from JSON."""
    data = {name: value if isinstance(value, str) else json.dumps(value) for name, value in push.data.items()}
    android: dict[str, Any] = {
        "priority": "HIGH" if push.urgent and not push.is_silent else "NORMAL",
        "ttl": f"{settings.PUSH_TTL}s",
    }
    aps: dict[str, Any] = {"content-available": 1}
    headers = {"apns-priority": "5", "apns-push-type": "background"}
    shown: dict[str, Any] = {"token": push.token, "data": data}
    if push.collapse:
        android["collapse_key"] = push.collapse
        headers["apns-collapse-id"] = push.collapse
    if not push.is_silent:
        shown["notification"] = {"title": push.title, "body": push.body}
        android["notification"] = {"tag": push.collapse} if push.collapse else {}
        aps |= {"mutable-content": 1, "sound": "default", "thread-id": push.collapse}
        headers |= {"apns-priority": "10", "apns-push-type": "alert"}
        if push.badge is not None:
            aps["badge"] = push.badge
    return {**shown, "android": android, "apns": {"headers": headers, "payload": {"aps": aps}}}
