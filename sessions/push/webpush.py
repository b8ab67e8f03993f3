"""Web Push (RFC 8030), encrypted for the browser (RFC 8291), signed for the push service (RFC 8292).

Also UnifiedPush, whose distributors accept the same requests. The push service sees length, time and urgency, never
the content.
"""

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.utils.crypto import salted_hmac

from sessions.push import http, vapid
from sessions.push.endpoints import EndpointRefused
from sessions.push.gate import still_there
from sessions.push.provider import TOO_LARGE, Kind, Outcome, Provider, Push

# RFC 8291 §4: 4,096 bytes with header (86), delimiter (1) and tag (16).
PAYLOAD_BYTES = 4_096 - 103


class WebPush(Provider):
    def is_configured(self) -> bool:
        return True  # a key is derived if none is set

    def origin(self, push: Push) -> str:
        parts = urlsplit(push.token)
        return f"{parts.scheme}://{parts.netloc}"

    def send(self, pushes: Sequence[Push]) -> list[Outcome]:
        return [self._send(push) for push in pushes]

    def _send(self, push: Push) -> Outcome:
        body = json.dumps(dict(push.data), ensure_ascii=False, separators=(",", ":"), default=str).encode()
        if len(body) > PAYLOAD_BYTES:
            return TOO_LARGE
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(settings.PUSH_TTL),
            "Urgency": "high" if push.urgent else "normal",
            "Authorization": vapid.authorization(push.token),
        }
        if push.collapse:
            headers["Topic"] = topic(push)
        try:
            answer = http.post(
                push.token,
                headers=headers,
                body=encrypt(body, p256dh=push.p256dh, auth=push.auth),
                guarded=True,
                gate=still_there([push.registration_id]),
            )
        except EndpointRefused as error:
            # The name pointed elsewhere when it was registered. Nothing was sent, and the registration is deleted.
            return Outcome(Kind.GONE, error.code)
        if 300 <= answer.status < 400:  # redirects could lead anywhere: not followed, not retried
            return Outcome(Kind.GONE, "redirect")
        return answer.outcome()


def topic(push: Push) -> str:
    """Return the name under which a later push replaces this one: at most 32 characters (RFC 8030 §5.4).

    A digest with the registration's id, so that a push service cannot tell that two devices share a conversation.
    """
    return vapid.b64(salted_hmac("push.topic", f"{push.registration_id}:{push.collapse}", algorithm="sha256").digest())[
        :32
    ]


def encrypt(body: bytes, *, p256dh: str, auth: str) -> bytes:
    """Encrypt the body as one `aes128gcm` record (RFC 8188) for the browser's keys."""
    encrypted: bytes = http_ece.encrypt(
        body,
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=vapid.unb64(p256dh),
        auth_secret=vapid.unb64(auth),
        version="aes128gcm",
    )
    return encrypted
