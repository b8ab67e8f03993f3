"""Input of a push registration, with the address format of each provider."""

import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.fields import StrictCharField
from sessions.models import PushRegistration
from sessions.push import endpoints, vapid

TOKENS = {
    "fcm": re.compile(r"[A-Za-z0-9:._-]{1,4096}"),
    "apns": re.compile(r"[0-9A-Fa-f]{2,200}"),
    "expo": re.compile(r"Expo(nent)?PushToken\[[^\[\]\s]{1,200}\]"),
}
MESSAGES = {
    "not_configured": _("This server does not push by this way."),
    "private_endpoint": _("The endpoint lies in a private network."),
    "invalid": _("This is no address of a device."),
    "required": _("This field is required."),
}


def refusal(field: str, code: str) -> serializers.ValidationError:
    return serializers.ValidationError({field: [serializers.ErrorDetail(str(MESSAGES[code]), code=code)]})


class SubscriptionKeysInput(serializers.Serializer[Any]):
    p256dh = StrictCharField(max_length=200)
    auth = StrictCharField(max_length=100)


class SubscriptionInput(serializers.Serializer[Any]):
    """`PushSubscription.toJSON()` of a browser."""

    endpoint = StrictCharField(max_length=endpoints.ENDPOINT_CHARS)
    keys = SubscriptionKeysInput()


class PushInput(serializers.Serializer[Any]):
    provider = serializers.ChoiceField(choices=PushRegistration.Provider.choices)
    token = StrictCharField(required=False, allow_null=True, max_length=4_096, help_text="fcm, apns, expo")
    subscription = SubscriptionInput(required=False, allow_null=True, help_text="webpush")
    environment = serializers.ChoiceField(
        choices=PushRegistration.Environment.choices, required=False, allow_null=True, help_text="apns"
    )
    show = serializers.ChoiceField(
        choices=PushRegistration.Show.choices,
        required=False,
        allow_null=True,
        help_text="what a push may say; without it, nothing but where to look",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return `{provider, address, show}`; `address` holds the columns that identify the device."""
        provider = attrs["provider"]
        if provider == "webpush":
            address = subscribed(attrs.get("subscription"))
        else:
            address = {"token": token(provider, attrs.get("token"))}
        if provider == "apns":
            address["environment"] = attrs.get("environment") or PushRegistration.Environment.PRODUCTION
        return {
            "provider": provider,
            "address": address,
            "show": attrs.get("show") or PushRegistration.Show.NOTHING,
        }


def subscribed(given: dict[str, Any] | None) -> dict[str, str]:
    """Return the columns of a browser's subscription, with normalised keys."""
    if given is None:
        raise refusal("subscription", "required")
    try:
        endpoints.check(given["endpoint"])
        point, secret = vapid.unb64(given["keys"]["p256dh"]), vapid.unb64(given["keys"]["auth"])
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except endpoints.EndpointRefused as error:
        raise refusal("subscription", error.code) from None
    except ValueError:
        raise refusal("subscription", "invalid") from None
    if len(point) != 65 or len(secret) != 16:  # RFC 8291 §3.1 and §3.2
        raise refusal("subscription", "invalid")
    return {"token": given["endpoint"], "p256dh": vapid.b64(point), "auth": vapid.b64(secret)}


def token(provider: str, given: str | None) -> str:
    if given is None:
        raise refusal("token", "required")
    if not TOKENS[provider].fullmatch(given):
        raise refusal("token", "invalid")
    return given.lower() if provider == "apns" else given


class PushOutput(serializers.Serializer[Any]):
    provider = serializers.ChoiceField(choices=PushRegistration.Provider.choices)
    environment = serializers.ChoiceField(choices=PushRegistration.Environment.choices, allow_null=True)
    show = serializers.ChoiceField(choices=PushRegistration.Show.choices)
    updated_at = serializers.DateTimeField()


class PushKeyOutput(serializers.Serializer[Any]):
    vapid_public_key = serializers.CharField(help_text="the browser's applicationServerKey, base64url")
