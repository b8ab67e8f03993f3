"""What may be said: limits of a message's text, emoji, mentions."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from common.errors import ValidationFailed

MENTIONS = 50
EMOJI_CHARS = 32
_MENTION = re.compile(r"(?<![\w@.+-])@([\w.+-]{1,150})")

# UTS #51: what may stand in one emoji besides pictographs.
_JOINER, _TEXT, _EMOJI, _KEYCAP = 0x200D, 0xFE0E, 0xFE0F, 0x20E3
_SKIN = range(0x1F3FB, 0x1F400)
_REGIONAL = range(0x1F1E6, 0x1F200)
_TAG = range(0xE0020, 0xE0080)
_PICTOGRAPHS = (
    range(0x1F300, 0x1FAFF + 1), range(0x1F000, 0x1F2FF + 1), range(0x2600, 0x27BF + 1), range(0x2300, 0x23FF + 1),
    range(0x2B05, 0x2B55 + 1), range(0x2190, 0x21FF + 1), range(0x25AA, 0x25FE + 1), range(0x2934, 0x2935 + 1),
)  # fmt: skip
_LONE = {0xA9, 0xAE, 0x203C, 0x2049, 0x2122, 0x2139, 0x24C2, 0x3030, 0x303D, 0x3297, 0x3299}


class TooLong(ValidationFailed):
    """Over REST one of `errors`, over the socket a code of its own."""

    def __init__(self, limit: int) -> None:
        message = _("Ensure this field has no more than %(limit)s characters.") % {"limit": limit}
        super().__init__({"content": [{"message": message, "code": "too_long"}]})


def require_sayable(content: str, *, may_be_empty: bool = False) -> str:
    """Return `content` unchanged. Raises TooLong, and ValidationFailed if empty or with NUL or a lone surrogate.

    `may_be_empty`: the message has attachments.
    """
    if (not content or content.isspace()) and not may_be_empty:
        raise ValidationFailed.of("content", "blank", _("This field may not be blank."))
    if len(content) > settings.CHAT_CONTENT_CHARS:
        raise TooLong(settings.CHAT_CONTENT_CHARS)
    if "\x00" in content or any("\ud800" <= char <= "\udfff" for char in content):
        raise ValidationFailed.of("content", "invalid", _("Null characters are not allowed."))
    return content


def digest(content: str, reply_to: object, attachments: Sequence[object] = ()) -> str:
    """Return what tells a repeat from other content under the same `client_msg_id`."""
    files = "".join(f"attachment:{one}\n" for one in attachments)  # no other text begins like this
    return hashlib.sha256(f"{files}{reply_to or ''}\n{content}".encode()).hexdigest()


def mentioned(content: str) -> list[str]:
    """Return the names behind `@`, each once, at most 50; a full stop that ends the sentence is not of the name."""
    names = [name.rstrip(".-+") for name in _MENTION.findall(content)] if "@" in content else []
    return list(dict.fromkeys(unicodedata.normalize("NFKC", name).casefold() for name in names if name))[:MENTIONS]


def require_emoji(emoji: str) -> str:
    """Return `emoji` if it is one emoji: a pictograph, a joined sequence of them, a flag or a keycap (UTS #51)."""
    if not _is_emoji(emoji):
        raise ValidationFailed.of("emoji", "invalid_emoji", _("This is not an emoji."))
    return emoji


def _is_pictograph(code: int) -> bool:
    if code in _LONE:
        return True
    return any(code in block for block in _PICTOGRAPHS) and unicodedata.category(chr(code)) in {"So", "Sm", "Cn"}


def _is_emoji(emoji: str) -> bool:
    codes = [ord(char) for char in emoji]
    if not codes or len(codes) > EMOJI_CHARS:
        return False
    if chr(codes[0]) in "0123456789#*":
        return codes[1:] in ([_EMOJI, _KEYCAP], [_KEYCAP])
    if codes[0] in _REGIONAL:
        return len(codes) == 2 and codes[1] in _REGIONAL
    return all(_is_element(part) for part in _split(codes, _JOINER))


def _is_element(codes: list[int]) -> bool:
    """One pictograph with what may follow it: presentation selector, skin tone, tags of a subdivision's flag."""
    if not codes or not _is_pictograph(codes[0]) or codes[0] in _SKIN:
        return False
    rest = codes[1:]
    if rest and rest[0] in (_EMOJI, _TEXT):
        rest = rest[1:]
    if rest and rest[0] in _SKIN:
        rest = rest[1:]
    if rest and rest[-1] == 0xE007F:
        return all(code in _TAG for code in rest)
    return not rest


def _split(codes: list[int], at: int) -> list[list[int]]:
    parts: list[list[int]] = [[]]
    for code in codes:
        if code == at:
            parts.append([])
        else:
            parts[-1].append(code)
    return parts
