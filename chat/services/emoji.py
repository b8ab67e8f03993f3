"""Validation of a single emoji, normalised to Unicode's fully qualified form.

Source: UTS #51 and the tables of the package `emoji`. `❤` and `❤️` differ in an invisible selector and are one emoji; a
pictograph newer than the package is recognised by the blocks that Unicode reserves for pictographs.
"""

import unicodedata
from functools import cache

import emoji as unicode_emoji
from django.utils.translation import gettext_lazy as _

from common.errors import ValidationFailed

MAXIMUM_CHARS = 32
_SELECTORS = {0xFE0E: None, 0xFE0F: None}
_SKIN_TONES = range(0x1F3FB, 0x1F400)
# Blocks whose unassigned code points are reserved for future pictographs (Extended_Pictographic).
_RESERVED = (range(0x1F6D0, 0x1F700), range(0x1F90C, 0x1FB00))


@cache
def _qualified() -> dict[str, str]:
    """Return the fully qualified forms by their form without presentation selectors."""
    full = unicode_emoji.STATUS["fully_qualified"]
    return {
        text.translate(_SELECTORS): text for text, facts in unicode_emoji.EMOJI_DATA.items() if facts["status"] == full
    }


def qualified(text: str) -> str | None:
    """Return the fully qualified emoji, None if the text is not exactly one emoji."""
    if not text or len(text) > MAXIMUM_CHARS:
        return None
    bare = text.translate(_SELECTORS)
    return _qualified().get(bare) or (bare if _is_newer(bare) else None)


def _is_newer(bare: str) -> bool:
    if not bare or not any(ord(bare[0]) in block for block in _RESERVED) or unicodedata.category(bare[0]) != "Cn":
        return False
    return len(bare) == 1 or (len(bare) == 2 and ord(bare[1]) in _SKIN_TONES)


def require(text: str) -> str:
    """Return the fully qualified emoji. Raises ValidationFailed."""
    found = qualified(text)
    if found is None:
        raise ValidationFailed.of("emoji", "invalid_emoji", _("This is not an emoji."))
    return found
