"""Rate limits for mails to an address that anybody may type.

Counted by an HMAC of the address, known or not, before anything is looked up: response and duration stay the same.
"""

from django.utils.crypto import salted_hmac

from common import rates


def within_target(address: str) -> bool:
    """Count one mail to an address that somebody else may have typed; return whether it may be sent.

    One count per address for all requesters and purposes: many accounts together cannot mail a stranger more often.
    """
    return rates.hit(name="mail_target", key=_key("target", address)) is None


def within(purpose: str, address: str) -> bool:
    """Count one mail for `purpose` to the account of this address; return whether it may be sent."""
    key = _key(purpose, address)
    return all(rates.hit(name=name, key=key) is None for name in ("mail_account", "mail_account_hourly"))


def _key(purpose: str, address: str) -> str:
    return f"{purpose}:{salted_hmac('users.mail_limits', address.lower(), algorithm='sha256').hexdigest()[:32]}"
