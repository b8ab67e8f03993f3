"""A new password for somebody who cannot sign in.

Source: OWASP Forgot Password Cheat Sheet; section "Réinitialisation de Mot de Passe".
"""

from django.db import transaction
from django.utils import timezone

from common import passwords, rates
from common.client import Client, address_key
from common.errors import InvalidOrExpiredToken
from users.identity import addresses
from users.mail import enqueue, limits, single_use
from users.models import PasswordResetToken, User
from users.passwords import replace


def request(*, email: str, client: Client) -> None:
    """Ask for a link. Does the same for every address: who owns it is looked up later, in a task.

    Raises: Throttled by the client's address; past the account's own limit nothing is mailed and nothing is said.
    """
    rates.allow(name="password_reset", key=address_key(client.ip_address))
    address = addresses.key(email)
    if limits.within("password_reset", address):
        enqueue.send_password_reset(email=address, language=client.language)


def confirm(*, token: str, password: str, client: Client) -> None:
    """Set the password and end what the old one had opened (`replace.take_effect`), all or nothing.

    The address that the link went to is verified by it. Nobody is signed in. A password that breaks the rules does not
    spend the link.

    Raises: Throttled, InvalidOrExpiredToken, ValidationFailed under `new_password`.
    """
    rates.allow(name="password_reset_confirm", key=address_key(client.ip_address))
    raw = single_use.parse(token)
    user = single_use.peek(PasswordResetToken, raw).user
    if not user.is_active:
        raise InvalidOrExpiredToken
    replace.validate(password, user=user, field="new_password")
    encoded = passwords.encode(password)  # before any row is locked
    with transaction.atomic():
        # The person first, as everywhere: whoever else ends or issues links waits here.
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        row = single_use.spend(PasswordResetToken, raw)
        user = row.user
        if not _leads_to(row.email, user) or not replace.replace(user, encoded):
            raise InvalidOrExpiredToken
        if row.email and not user.email_verified:  # whoever followed the link reads what is mailed there
            User.objects.filter(pk=user.pk).update(email_verified=True)
        replace.take_effect(user.pk, by="reset", at=timezone.now(), client=client)


def _leads_to(email: str, user: User) -> bool:
    """Tell whether a link was mailed to the address that the account still has ('' of a link of before 0.2)."""
    return not email or email.lower() == user.email.lower()
