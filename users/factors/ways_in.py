"""Ways to sign in: the last one cannot be removed, and those of a squatter do not outlive the owner's proof."""

import uuid

from django.conf import settings

from common.client import Client
from common.errors import LastFactor, NoActiveAccount
from users.factors import events, second_factor, social_tokens
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


def drop_unproved(user_id: int, *, client: Client) -> None:
    """Remove passkeys and linked accounts when a reset proves the address for the first time; call before its commit.

    Whoever registered with somebody else's address could add a passkey of their own and wait: the owner resets the
    password, and both are in. A second factor stays, as after every reset: with it on, no password opens anything.
    """
    if second_factor.is_on(user_id):
        return
    for passkey in Passkey.objects.filter(user_id=user_id):
        passkey.delete()
        events.tell("passkey_removed", user_id=user_id, client=client, name=passkey.name, reason="unproved")
    for link in SocialLink.objects.filter(user_id=user_id):
        social_tokens.revoke(link)
        link.delete()
        events.tell("social_unlinked", user_id=user_id, client=client, provider=link.provider, reason="unproved")
