"""Read what was mailed, as its reader would."""

import re

from django.core import mail

_LINK = re.compile(r"https?://\S+/#token=([0-9a-f-]{36})")


def link_token(index: int = -1) -> str:
    """Return the secret of the link in the mail at `index` of the outbox."""
    match = _LINK.search(mail.outbox[index].body)
    assert match, mail.outbox[index].body
    return match[1]


def recipients() -> list[str]:
    return [address for message in mail.outbox for address in message.to]
