"""The factors of an account as its owner sees them, without secrets or digests."""

from typing import Any

from users.factors import recovery_codes
from users.factors.models import Passkey, SocialLink, TotpFactor
from users.models import User


def of(user: User) -> dict[str, Any]:
    app = TotpFactor.objects.filter(user_id=user.pk, confirmed_at__isnull=False).first()
    return {
        "password": user.has_usable_password(),
        "totp": {"created_at": app.confirmed_at} if app else None,
        "recovery_codes_left": recovery_codes.left(user.pk),
        "passkeys": [passkey(one) for one in Passkey.objects.filter(user_id=user.pk).order_by("created_at", "pk")],
        "social": [social(one) for one in SocialLink.objects.filter(user_id=user.pk).order_by("linked_at", "pk")],
    }


def passkey(one: Passkey) -> dict[str, Any]:
    return {
        "id": one.pk,
        "name": one.name,
        "created_at": one.created_at,
        "last_used_at": one.last_used_at,
        "backed_up": one.backed_up,
        "transports": one.transports,
    }


def social(one: SocialLink) -> dict[str, Any]:
    return {"provider": one.provider, "email": one.email, "linked_at": one.linked_at}
