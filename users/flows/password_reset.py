"""A new password for somebody who cannot sign in.

Source: OWASP Forgot Password Cheat Sheet; section "Réinitialisation de Mot de Passe".
"""

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from common import rates
from common.client import Client, address_key
from common.errors import InvalidOrExpiredToken
from sessions import services as sessions
from users.identity import addresses
from users.mail import enqueue, limits, single_use
from users.models import PasswordResetToken, User
from users.passwords import lockout, replace


def request(*, email: str, client: Client) -> None:
    """Ask for a link. Does the same for every address: who owns it is looked up later, in a task.

    Raises: Throttled by the client's address; past the account's own limit nothing is mailed and nothing is said.
    """
    rates.allow(name="password_reset", key=address_key(client.ip_address))
    address = addresses.key(email)
    if limits.within("password_reset", address):
        enqueue.send_password_reset(email=address, language=client.language)


def confirm(*, token: str, password: str, client: Client) -> None:
    """Set the password, spend every reset link, revoke every session and lift the lockout, all or nothing.

    Nobody is signed in by it. A password that breaks the rules does not spend the link.

    Raises: Throttled, InvalidOrExpiredToken, ValidationFailed under `new_password`.
    """
    rates.allow(name="password_reset_confirm", key=address_key(client.ip_address))
    raw = single_use.parse(token)
    user = single_use.peek(PasswordResetToken, raw).user
    if not user.is_active:
        raise InvalidOrExpiredToken
    replace.validate(password, user=user, field="new_password")
    encoded = make_password(password)  # before any row is locked
    with transaction.atomic():
        user = single_use.spend(PasswordResetToken, raw).user
        now = timezone.now()
        if not replace.replace(user, password, at=now, encoded=encoded):
            raise InvalidOrExpiredToken
        sessions.revoke_all(user_id=user.pk, reason="password_reset")
        lockout.unlock(user.pk)
        User.objects.filter(pk=user.pk).update(device_token_version=F("device_token_version") + 1)
        replace.tell(user, by="reset", at=now, client=client, sid=None)
