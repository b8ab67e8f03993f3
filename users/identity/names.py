"""Names that cannot pass for one another: NFKC, one script each, compared by look-alike skeleton.

Source: UTS #39 §4 (confusables) and §5.2 (single script, with the East Asian sets) in a small form. The skeleton errs
towards refusal: a capital I looks like a small l, and names are equal whatever their case, so that i and l are one.
"""

import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from common.text import fold as folded

MAXIMUM_CHARS = 150
PUNCTUATION = frozenset("_.-+")
CLOSED_PREFIX = "deleted-"

# Letters and marks that show as nothing (Default_Ignorable_Code_Point), whatever their category.
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
    | {*range(0xE0000, 0xE1000)}
)
# Scripts that one language writes together.
_TOGETHER = [{"CJK", "HIRAGANA", "KATAKANA"}, {"CJK", "HANGUL"}, {"CJK", "BOPOMOFO"}]

# After case folding. Within Latin, then whole words of Cyrillic, Greek and Armenian that read as Latin ones.
_LOOK_ALIKES = str.maketrans(
    {"0": "o", "1": "l", "i": "l", "ı": "l", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "\u0307": None, "ɡ": "g", "ɑ": "a"}
    | dict(zip("авекмнорстухіјѕһԁԛԝӏү", "abekmhopctyxljshdqwly", strict=True))
    | dict(zip("αβεηικμνορτυχγζω", "abehlkmvoptuxyzw", strict=True))
    | dict(zip("օսոհցյ", "ounhgj", strict=True))
)


def normalise(name: str) -> str:
    """Return the name in NFKC; what is shown and stored."""
    return unicodedata.normalize("NFKC", name)


def skeleton(name: str) -> str:
    """Return what names are compared by: the same for names that look the same."""
    folded = fold(name)
    digits = "".join(str(unicodedata.digit(char)) if char.isdigit() else char for char in folded)
    return digits.translate(_LOOK_ALIKES)


def fold(text: str) -> str:
    """Return `text` for search: NFKC and without case."""
    return folded(text)


def closed(user_id: int) -> str:
    """Return the username that a closed account keeps."""
    return f"{CLOSED_PREFIX}{user_id}"


def validate(name: str) -> None:
    """Refuse what nobody could tell from another name: format and control characters, several scripts, spaces, `@`.

    `@` is an e-mail's: at login what holds one is looked up as an address, and no name may catch another's address.

    Raises: django ValidationError with code `invalid`, `max_length` or `mixed_scripts`.
    """
    name = normalise(name)
    if len(name) > MAXIMUM_CHARS:
        raise ValidationError(_("A username has at most 150 characters."), code="max_length")
    if not all(_is_plain(char) for char in name) or not any(char.isalnum() for char in name):
        raise ValidationError(_("A username is made of letters, digits and _ . - + only."), code="invalid")
    if unicodedata.category(name[0]).startswith("M") or skeleton(name).startswith(skeleton(CLOSED_PREFIX)):
        raise ValidationError(_("This username is not possible."), code="invalid")
    scripts = {_script(char) for char in name} - {""}
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise ValidationError(_("A username is written in one script."), code="mixed_scripts")


def _is_plain(char: str) -> bool:
    category = unicodedata.category(char)
    return char in PUNCTUATION or (
        (category[0] == "L" or category in {"Mn", "Mc", "Nd"}) and ord(char) not in _INVISIBLE
    )


def _script(char: str) -> str:
    """Return the script by the first word of the character's Unicode name; '' for what all scripts share."""
    if char.isascii():
        return "LATIN" if char.isalpha() else ""
    words = unicodedata.name(char, "UNKNOWN").replace("-", " ").split()
    if words[0] in {"COMBINING", "IDEOGRAPHIC"} or words[:2] == ["MODIFIER", "LETTER"]:
        return ""
    return "ARABIC" if "ARABIC" in words else words[0]
