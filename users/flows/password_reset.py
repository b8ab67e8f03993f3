"""Password reset by a mailed link, for users who cannot sign in.

Source: OWASP Forgot Password Cheat Sheet; section "Réinitialisation de Mot de Passe".
"""

from django.db import transaction
from django.utils import timezone

from common import passwords, rates
from common.client import Client, address_key
from common.errors import InvalidOrExpiredToken
from users.factors import ways_in
from users.identity import addresses
from users.mail import enqueue, limits, single_use
from users.models import PasswordResetToken, User
from users.passwords import replace


def request(*, email: str, client: Client) -> None:
    """Enqueue the mail with a link. Does the same for every address: a task looks up its owner later.

    Raises: Throttled by the client's address; beyond the account's own limit nothing is mailed, silently.
    """
    rates.allow(name="password_reset", key=address_key(client.ip_address))
    address = addresses.key(email)
    if limits.within("password_reset", address):
        enqueue.send_password_reset(email=address, language=client.language)


def confirm(*, token: str, password: str, client: Client) -> None:
    """Set the password and end what was authorised by the old one (`replace.take_effect`), all or nothing.

    The address that the link went to counts as verified; if it was not before, passkeys and linked accounts end, since
    whoever added them may have registered with a stranger's address (`ways_in.drop_unproved`). Nobody is signed in. A
    password that breaks the rules does not spend the link.

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
        # The user's row is locked first, as everywhere: other code that ends or issues links waits here.
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).first()
        row = single_use.spend(PasswordResetToken, raw)
        user = row.user
        if not _leads_to(row.email, user) or not replace.replace(user, encoded):
            raise InvalidOrExpiredToken
        if row.email and not user.email_verified:  # following the link proves access to the mailbox
            User.objects.filter(pk=user.pk).update(email_verified=True)
            ways_in.drop_unproved(user.pk, client=client)
        replace.take_effect(user.pk, by="reset", at=timezone.now(), client=client)


def _leads_to(email: str, user: User) -> bool:
    """Return whether the link was mailed to the account's current address ('' for links made before 0.2)."""
    return not email or email.lower() == user.email.lower()
