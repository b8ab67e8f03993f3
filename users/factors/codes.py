"""The `code` field of sign-in: six digits of the authenticator app, or a recovery code."""

from common.client import Client
from sessions.services import assurance
from users.factors import challenges, events, recovery_codes, totp


def use(user_id: int, typed: str, *, client: Client) -> list[str] | None:
    """Accept a code once and return the methods it proves (`amr`), None if it is wrong.

    Call inside the transaction that it authorises: if that fails, a recovery code stays valid.
    """
    if challenges.six_digits(typed) is not None:
        return [assurance.OTP, assurance.MULTIPLE] if totp.use(user_id, typed) else None
    if not recovery_codes.use(user_id, typed):
        return None
    left = recovery_codes.left(user_id)
    events.tell("recovery_code_used", user_id=user_id, client=client, left=left)
    return [assurance.OTP, assurance.MULTIPLE]
