"""How often one account may be mailed because somebody typed its address.

Counted by an HMAC of the address, known or not, before anything is looked up: the answer and its time stay the same.
"""

from django.utils.crypto import salted_hmac

from common import rates


def within_target(address: str) -> bool:
    """Count one mail to an address that somebody else may have typed; return whether it may leave.

    One count for each address, whoever asks and for whatever: no number of accounts mails a stranger more often.
    """
    return rates.hit(name="mail_target", key=_key("target", address)) is None


def within(purpose: str, address: str) -> bool:
    """Count one mail for `purpose` to the account of this address; return whether it may leave."""
    key = _key(purpose, address)
    return all(rates.hit(name=name, key=key) is None for name in ("mail_account", "mail_account_hourly"))


def _key(purpose: str, address: str) -> str:
    return f"{purpose}:{salted_hmac('users.mail_limits', address.lower(), algorithm='sha256').hexdigest()[:32]}"
