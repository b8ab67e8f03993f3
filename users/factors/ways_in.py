"""The rule that the last way to sign in cannot be removed."""

import uuid

from django.conf import settings

from common.errors import LastFactor, NoActiveAccount
from users.factors.models import Passkey, SocialLink
from users.models import User


def locked(user_id: int) -> User:
    """Return the user with the row locked, so that two parallel removals cannot each rely on the other factor."""
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first()
    if user is None:
        raise NoActiveAccount
    return user


def require_another(user: User, *, without_passkey: uuid.UUID | None = None, without_provider: str = "") -> None:
    """Require that a password, passkey, linked account or mailed code remains. Raises LastFactor (409)."""
    if user.has_usable_password():
        return
    if settings.EMAIL_CODE_LOGIN and user.email and user.email_verified:
        return
    if Passkey.objects.filter(user_id=user.pk).exclude(pk=without_passkey or uuid.UUID(int=0)).exists():
        return
    offered = SocialLink.objects.filter(user_id=user.pk, provider__in=list(settings.SOCIAL_PROVIDERS))
    if offered.exclude(provider=without_provider).exists():
        return
    raise LastFactor
