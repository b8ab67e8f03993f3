"""Examples of the OpenAPI document: one value for each name of a field, put together by the schemas.

A field without a line here ends the making of the document, so that no example says `"string"`.
"""

from typing import Any

NOW, EARLIER, LATER = "2026-11-21T10:00:00.123Z", "2026-11-14T08:30:00.000Z", "2026-11-28T10:00:00.000Z"
CONVERSATION, MESSAGE = "0b9f2c7e-6c1d-4f0e-9a57-3d2f1c4b8a60", "7c6d1f2a-8e3b-4a90-b1d4-5e9f0a7c3b21"
SESSION, ATTACHMENT = "d3a1b7f0-2c4e-4d86-9f15-8b0c6e7a4d32", "4e8b0a6c-1d7f-4b39-8c52-9a3e5f7d2c10"
CHALLENGE = "c2lnbmVkLWNoYWxsZW5nZQ:1vMt5K:9mJk3"
TOKEN = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImsxIn0.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl"  # noqa: S105  # of nobody
CREDENTIAL = {
    "id": "bm90LWEtcmVhbC1rZXk",
    "rawId": "bm90LWEtcmVhbC1rZXk",
    "type": "public-key",
    "response": {"clientDataJSON": "eyJ0eXBlIjoi…", "authenticatorData": "SZYN5Y…", "signature": "MEUCIQ…"},
}

VALUES: dict[str, Any] = {
    **dict.fromkeys(("access", "refresh", "id_token", "mfa_token"), TOKEN),
    **dict.fromkeys(("at", "auth_time", "created_at", "updated_at", "server_time", "last_seen_at"), NOW),
    **dict.fromkeys(("date_joined", "joined_at", "linked_at", "last_login", "last_used_at"), EARLIER),
    **dict.fromkeys(("idle_expires_at", "absolute_expires_at", "muted_until", "locked_until"), LATER),
    **dict.fromkeys(("deleted_at", "edited_at", "next", "previous", "environment", "reply_to", "subscription")),
    **dict.fromkeys(
        ("password", "password_confirm", "new_password", "new_password_confirm"), "correct horse 9 battery"
    ),
    **dict.fromkeys(("email_notifications", "push_notifications", "email_verified", "success", "mine"), True),
    **dict.fromkeys(("sms_notifications", "phone_verified", "archived", "has_more", "remember_me"), False),
    "slow_mode_seconds": 30,
    **dict.fromkeys(("share_presence", "share_receipts", "history_visible", "online", "pinned", "is_current"), True),
    **dict.fromkeys(("mention_count", "revoked", "sockets", "count"), 1),
    **dict.fromkeys(("last_seq", "seen_seq", "seq", "up_to_seq"), 17),
    **dict.fromkeys(("content", "excerpt"), "The tide is out"),
    "access_expires_in": 3600,
    "amr": ["pwd"],
    "auth": "k8JV6sjdbhAi1n3_LDBLvA",
    "authorization_code": "",
    "backed_up": True,
    "browser": "Firefox 145",
    "challenge": CHALLENGE,
    "city": "Algiers",
    "client_msg_id": "5f0c2a1e-4b7d-4c58-9d3e-2a6b8f1e7c90",
    "code": "402917",
    "content_type": "image/jpeg",
    "conversation_uuid": CONVERSATION,
    "country": "DZ",
    "country_name": "Algeria",
    "credential": CREDENTIAL,
    "description": "Who waters what",
    "detail": "Your password was changed.",
    "device": "Pixel 9",
    "device_fingerprint": "",
    "device_name": "Alice's phone",
    "device_token": "djE6NDI:2mQx8",
    "duration_ms": None,
    "email": "alice@example.com",
    "emoji": "🌊",
    "endpoint": "https://push.example.com/send/c1KrmpTuRm",
    "expires_in": 600,
    "file": "(the bytes of the file)",
    "first_name": "Alice",
    "height": 1200,
    "highlights": [[4, 8]],
    "id": 42,
    "ip_address": "203.0.113.7",
    "keep_current": True,
    "language": "fr",
    "last_name": "Moreau",
    "members_count": 3,
    "mentions": [43],
    "message_uuid": MESSAGE,
    "name": "tide.jpg",
    "new_email": "alice.moreau@example.com",
    "nonce": "n-0S6_WzA2Mj",
    "old_password": "the one before 7",
    "os": "Android 16",
    "otpauth_url": "otpauth://totp/Alviar:alice?secret=JBSWY3DPEHPK3PXP&issuer=Alviar",
    "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
    "passkeys": [],
    "phone_number": "+213551234567",
    "provider": "google",
    "qr_svg": '<svg xmlns="http://www.w3.org/2000/svg">…</svg>',
    "quiet_hours": {"from": "22:00", "to": "07:00"},
    "reason": "Spam",
    "recovery_codes": ["8fk2-m3qp-w7xd-t5ra", "c4nh-9vze-b6js-y2kg"],
    "recovery_codes_left": 9,
    "refresh_expires_in": 604800,
    "region": "Algiers",
    "resend_after": 60,
    "secret": "JBSWY3DPEHPK3PXP",
    "session_id": SESSION,
    "size": 482133,
    "thumbhash": "3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
    "thumbnail_url": f"/api/chat/attachments/{ATTACHMENT}/thumbnail/",
    "timezone": "Africa/Algiers",
    "title": "Garden",
    "token": "9b2f6c1e-7d3a-4e58-8f10-6a4c2b9d7e35",
    "transports": ["internal", "hybrid"],
    "unread_count": 2,
    "url": f"/api/chat/attachments/{ATTACHMENT}/",
    "user_agent": "AlviarApp/1.4 (Android 16)",
    "user_id": 43,
    "user_ids": [43, 44],
    "username": "alice",
    "uuid": MESSAGE,
    "vapid_public_key": "BEl62iUYgUivxIkv69yViEuiBIa-Ib9-SkvMeAtA3LFgDzkrxZJjSgSnfckjBJuBkr3qBUYIHBQFLXYp5Nksh8U",
    "waveform": None,
    "width": 1600,
}
# Where a schema means another thing by the name: "Schema.name".
IN_SCHEMA: dict[str, Any] = {
    "AttachmentOutput.state": "ready",
    "AttachmentOutput.uuid": ATTACHMENT,
    "ConversationOutput.kind": "group",
    "ConversationRowOutput.kind": "group",
    "ConversationWithSettingsOutput.kind": "group",
    "Factors.password": True,
    "MessageOutput.attachments": [],
    "NewMessageInputRequest.attachments": [],
    "Passkey.id": "6f1d8c3b-0a7e-4c95-b2d6-1e4f9a8c7b50",
    "Passkey.name": "Alice's phone",
    "PasskeyAddRequest.name": "Alice's phone",
    "PatchedPasskeyNameRequest.name": "Alice's tablet",
    "PushInputRequest.provider": "fcm",
    "PushInputRequest.token": "fGw0qy4TQ5uX:APA91bH",
    "PushOutput.provider": "fcm",
    "ReportOutput.uuid": "e5c7a9d1-3b4f-4682-90ae-d8f6c2b1a473",
    "SecurityEvent.detail": {},
    "SecurityEvent.id": "1a9e4d7c-5b2f-4380-a6c1-f7d3e8b0259c",
    "Session.id": SESSION,
    **dict.fromkeys((f"{name}.uuid" for name in ("ConversationOutput", "ConversationRowOutput")), CONVERSATION),
    "ConversationWithSettingsOutput.uuid": CONVERSATION,
    "VerifyRequest.token": TOKEN,
}
# The keys of a request whose required ones alone would say little; a schema that requires nothing shows all it has.
KEYS: dict[str, tuple[str, ...]] = {
    "EmailChangeRequest": ("new_email", "password"),
    "LoginRequest": ("username", "password", "device_name", "remember_me"),
    "LogoutRequest": ("refresh",),
    "MfaRequest": ("mfa_token", "code"),
    "NewGroupInputRequest": ("kind", "title", "user_ids"),
    "NewMessageInputRequest": ("content", "client_msg_id"),
    "PasswordRequest": ("password",),
    "PasskeyAddRequest": ("credential", "name"),
    "PatchedUserRequest": ("first_name", "language", "timezone"),
    "PushInputRequest": ("provider", "token", "show"),
    "ReauthenticateRequest": ("password",),
    "RegisterRequest": ("username", "email", "password", "password_confirm", "language"),
    "SocialSignInRequest": ("id_token", "nonce", "device_name"),
}
# Whole answers: what has no schema of ours (the options of WebAuthn, the export), and texts.
REQUEST_OPTIONS = {
    "challenge": "dGhpcy1pcy1vbmNl",
    "timeout": 300000,
    "rpId": "chat.example.com",
    "allowCredentials": [],
}
WHOLE: dict[str, Any] = {
    "mfa_options": REQUEST_OPTIONS,
    "passkey_options": REQUEST_OPTIONS,
    "passkey_creation_options": {
        "rp": {"name": "Alviar", "id": "chat.example.com"},
        "user": {"id": "NDI", "name": "alice", "displayName": "Alice Moreau"},
        "challenge": "dGhpcy1pcy1vbmNl",
        "pubKeyCredParams": [{"type": "public-key", "alg": -7}],
    },
    "verify_email": {"detail": "Your e-mail address is verified."},
    "resend_verification": {"detail": "If this address is waiting to be verified, a mail is on its way to it."},
    "password_reset": {"detail": "If there is an account with this address, a mail is on its way to it."},
    "password_reset_confirm": {"detail": "Your password was changed. Please sign in."},
    "email_change": {"detail": "Please follow the link that we mailed to the new address."},
    "answer_notice": {"detail": "Thank you. Nothing was changed."},
    "me_export": {"user": {"username": "alice", "email": "alice@example.com"}, "sessions": [], "messages": []},
}
JSON = "application/json"


def with_examples(result: dict[str, Any], generator: Any, **kwargs: Any) -> dict[str, Any]:
    """Give every JSON body its example (a postprocessing hook).

    Raises: KeyError for a field that has no value here.
    """
    schemas = result["components"]["schemas"]
    for operations in result["paths"].values():
        for operation in operations.values():
            for name, answer in operation["responses"].items():
                if name < "400" and (body := answer.get("content", {}).get(JSON)):
                    whole = WHOLE.get(operation["operationId"])
                    body["example"] = whole if whole is not None else _example(body["schema"], schemas)
            if body := operation.get("requestBody", {}).get("content", {}).get(JSON):
                _show_request(body, schemas)
    return result


def _show_request(body: dict[str, Any], schemas: dict[str, Any]) -> None:
    schema = _found(body["schema"], schemas)[1]
    if "oneOf" not in schema:
        body["example"] = _example(body["schema"], schemas, whole=False)
        return
    body["examples"] = {
        kind: {"value": _example({"$ref": ref}, schemas, whole=False)}
        for kind, ref in schema["discriminator"]["mapping"].items()
    }


def _found(schema: dict[str, Any], schemas: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and content of a schema that may be a reference."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return name, schemas[name] if name else schema


def _example(schema: dict[str, Any], schemas: dict[str, Any], *, key: str = "", whole: bool = True) -> Any:
    name, schema = _found(schema, schemas)
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema and key not in VALUES:
        shown = schema["properties"]
        if not whole:
            shown = KEYS.get(name) or [one for one in shown if one in schema.get("required", shown)]
        return {
            one: IN_SCHEMA[f"{name}.{one}"]
            if f"{name}.{one}" in IN_SCHEMA
            else _example(schema["properties"][one], schemas, key=one, whole=whole)
            for one in shown
        }
    several = schema.get("allOf") or schema.get("oneOf") or [{}]
    if "$ref" in several[0] and key not in VALUES:
        return _example(several[0], schemas, key=key, whole=whole)
    if schema.get("type") == "array" and key not in VALUES:
        return [_example(schema["items"], schemas, whole=whole)]
    return VALUES[key]
