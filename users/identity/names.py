"""Rules for usernames that prevent look-alikes: NFKC, one script each, compared by a confusables skeleton.

Source: UTS #39 §4 (confusables) and §5.2 (single script, with the East Asian sets) in a small form. Two keys, since
names are case-insensitive but a capital I looks like a small l: `skeleton` finds a name (`Maria` is
`maria` and not `marla`), `looks` is what it looks like as it is written (`paypaI` is `paypal`). Both are unique.
"""

import re
import unicodedata
from functools import lru_cache

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from common.text import fold as folded

MAXIMUM_CHARS = 150
PUNCTUATION = frozenset("_.-+")
CLOSED_PREFIX = "deleted-"

# Invisible letters and marks (Default_Ignorable_Code_Point), of any category.
_INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
    | {*range(0xE0000, 0xE1000)}
)
# Scripts that one language combines.
_TOGETHER = [{"CJK", "HIRAGANA", "KATAKANA"}, {"CJK", "HANGUL"}, {"CJK", "BOPOMOFO"}]

# After case folding. Within Latin, then whole words of other scripts that read as Latin ones: Cyrillic, Greek,
# Armenian, Coptic, Cherokee and Lisu. Two letters of the Latin alphabet are never one, however alike they are.
_LOOK_ALIKES = str.maketrans(
    {"0": "o", "1": "l"}
    | dict(zip("ıɩɪɡɑȷꜱʋǀꟾꞁƿƽɵᴑᴉɣƍƅʊꞟᶐꬰꭤꞏ", "iiigajsvlllpsooiygbuuaaa.", strict=True))
    | {"ǁ": "ll", "ꝏ": "oo", "ꜳ": "aa", "ꜵ": "ao", "ꜷ": "au", "ꜹ": "av", "ꜽ": "ay", "ꝡ": "vy", "ꜩ": "tz", "ᵫ": "ue"}
    | {"ʣ": "dz", "ʦ": "ts", "ʪ": "ls", "ʫ": "lz", "ꞌ": ""}
    | dict(zip("авекмнорстухіјѕһԁԛԝӏүԍᴦѵ", "abekmhopctyxijshdqwlygrv", strict=True))
    | dict(zip("αβεηικμνορτυχγζω", "abehikmvoptuxyzw", strict=True))
    | dict(zip("օսոհցյզա", "ounhgjqw", strict=True))
    | dict(zip("ⲁⲃⲉⲏⲓⲕⲙⲛⲟⲣⲥⲧⲩⲭ", "abehikmnopctyx", strict=True))
    | dict(zip("ᎠᎡᎢᎥᎩᎪᎫᎬᎳᎷᎻᎽᏀᏂᏃᏏᏒᏔᏕᏙᏚᏞᏟᏢᏦᏧᏳᏴ", "drtiyajewmhyghzbrwsvslcpkdgb", strict=True))
    | dict(zip("ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ", "bpdtgkjczfmnlsrvhwxyaeiou", strict=True))
)
# `ᴘ`, `ł`, `ƥ`, `ꝺ`: a letter of the alphabet in small capitals or an old hand, or with something across or below it.
_DRESSED = re.compile(
    r"LATIN (?:SMALL LETTER|CAPITAL LETTER|LETTER SMALL CAPITAL|SMALL CAPITAL LETTER)"
    r"(?: (?:SCRIPT|INSULAR|BARRED|BLACKLETTER|BROKEN|DOTLESS|LENIS|STIRRUP|ANGLICANA|OLD POLISH|VISIGOTHIC"
    r"|MIDDLE SCOTS|SIGMOID))? ([A-Z])(?: BAR| ROTUNDA)?(?: (?:WITH|WITHOUT) [A-Z -]+)?"
)
# Marks that a word is read without: vowels of Hebrew and Arabic (not hamza and madda, which make other letters).
_VOWEL_MARKS = ((0x0591, 0x05C8), (0x064B, 0x0653), (0x0656, 0x0660), (0x0670, 0x0671))
_TATWEEL = "\u0640"  # draws the word out, and is no letter
_ACCENT_BLOCKS = (
    (0x0300, 0x0370),
    (0x1AB0, 0x1B00),
    (0x1DC0, 0x1E00),
    (0x20D0, 0x2100),
    (0xFE20, 0xFE30),
    *_VOWEL_MARKS,
)
_LETTERS_OF_THEIR_OWN = frozenset("йЙ")  # Unicode decomposes them, but in Russian they are letters of their own


def normalise(name: str) -> str:
    """Return the name in NFKC, which is shown and stored."""
    return unicodedata.normalize("NFKC", name)


def skeleton(name: str) -> str:
    """Return the key that names are found by: the same for any case, and for names that look the same."""
    plain = "".join(_plain(char) for char in fold(name)).translate(_LOOK_ALIKES)
    # Dots and dashes at an end, and doubled ones in the middle, are easily overlooked.
    trimmed = re.sub(r"([_.+-])\1+", r"\1", plain).strip("_.-+")
    return trimmed or plain or fold(name)


def looks(name: str) -> str:
    """Return what a name looks like as written: a capital I among small letters is an l."""
    plain = normalise(name)
    if any(char.islower() for char in plain):
        plain = plain.replace("I", "l")
    return skeleton(plain)


@lru_cache(maxsize=4_096)
def _plain(char: str) -> str:
    """Return a character without easily overlooked features: accents, strokes, the script of a digit."""
    if char.isascii() or char in _LETTERS_OF_THEIR_OWN:
        return char
    if char == _TATWEEL:
        return ""
    if char.isdigit():
        return str(unicodedata.digit(char))
    base = unicodedata.normalize("NFD", char)
    bare = "".join(one for one in base if not _is_mark(one))
    letters = []
    for one in unicodedata.normalize("NFC", bare):
        dressed = None if one.isascii() else _DRESSED.fullmatch(unicodedata.name(one, ""))
        letters.append(dressed[1].lower() if dressed else one)
    return "".join(letters)


def _is_mark(char: str) -> bool:
    """Return whether a word reads the same without it: accents, vowel marks, small signs beside or above letters."""
    if any(low <= ord(char) < high for low, high in _ACCENT_BLOCKS):
        return True
    name = unicodedata.name(char, "")
    return name.startswith("MODIFIER LETTER") or (name.startswith("COMBINING") and "KANA" not in name)


def fold(text: str) -> str:
    """Return `text` for search: NFKC and without case."""
    return folded(text)


def closed(user_id: int) -> str:
    """Return the username that a closed account keeps."""
    return f"{CLOSED_PREFIX}{user_id}"


def validate(name: str) -> None:
    """Raise ValidationError for names that could pass for others: format and control characters, mixed scripts, `@`.

    At login an identifier with `@` is looked up as an address, so no username may contain one.

    Raises: django ValidationError with code `invalid`, `max_length` or `mixed_scripts`.
    """
    name = normalise(name)
    if len(name) > MAXIMUM_CHARS:
        raise ValidationError(_("A username has at most 150 characters."), code="max_length")
    if not all(_is_plain(char) for char in name) or not any(char.isalnum() for char in name):
        raise ValidationError(_("A username is made of letters, digits and _ . - + only."), code="invalid")
    if unicodedata.category(name[0]).startswith("M") or _is_reserved(name):
        raise ValidationError(_("This username is not possible."), code="invalid")
    scripts = {_script(char) for char in name} - {""}
    if len(scripts) > 1 and not any(scripts <= together for together in _TOGETHER):
        raise ValidationError(_("A username is written in one script."), code="mixed_scripts")


def _is_reserved(name: str) -> bool:
    """Return whether a name could pass for that of a closed account."""
    plain = "".join(map(_plain, fold(name))).translate(_LOOK_ALIKES)
    return re.match(skeleton(CLOSED_PREFIX) + "[_.-]", plain) is not None


def _is_plain(char: str) -> bool:
    category = unicodedata.category(char)
    return char in PUNCTUATION or (
        (category[0] == "L" or category in {"Mn", "Mc", "Nd"}) and ord(char) not in _INVISIBLE
    )


def _script(char: str) -> str:
    """Return the script by the first word of the character's Unicode name; '' for characters common to all scripts."""
    if char.isascii():
        return "LATIN" if char.isalpha() else ""
    words = unicodedata.name(char, "UNKNOWN").replace("-", " ").split()
    if words[0] in {"COMBINING", "IDEOGRAPHIC"} or words[:2] == ["MODIFIER", "LETTER"]:
        return ""
    return "ARABIC" if "ARABIC" in words else words[0]
