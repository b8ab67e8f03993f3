"""Validation of a message's text."""

import hashlib
import re
from collections.abc import Sequence

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from common.errors import ValidationFailed
from common.text import is_blank

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class TooLong(ValidationFailed):
    """The text is too long: over REST an entry of `errors`, over the socket a code of its own."""

    def __init__(self, limit: int) -> None:
        message = _("Ensure this field has no more than %(limit)s characters.") % {"limit": limit}
        super().__init__({"content": [{"message": message, "code": "too_long"}]})


def require_sayable(content: str, *, may_be_empty: bool = False) -> str:
    """Return `content` unchanged.

    `may_be_empty`: the message has attachments. Raises TooLong, and ValidationFailed if it is blank or contains
    NUL or a lone surrogate.
    """
    if is_blank(content) and not may_be_empty:
        raise ValidationFailed.of("content", "blank", _("This field may not be blank."))
    if len(content) > settings.CHAT_CONTENT_CHARS:
        raise TooLong(settings.CHAT_CONTENT_CHARS)
    if "\x00" in content or (not content.isascii() and _SURROGATE.search(content)):
        raise ValidationFailed.of("content", "invalid", _("Null characters are not allowed."))
    return content


def digest(content: str, reply_to: object, attachments: Sequence[object] = ()) -> str:
    """Return the digest that distinguishes a repeat from different content under the same `client_msg_id`."""
    files = "".join(f"attachment:{one}\n" for one in attachments)  # cannot be confused with message text
    return hashlib.sha256(f"{files}{reply_to or ''}\n{content}".encode()).hexdigest()
