"""Word splitting and folding for search, the same for both databases, with positions in the original text.

A word is a run of letters, digits and their marks. In scripts without spaces (Chinese, Japanese, Thai …)
every character is a word and a search term is a phrase of them. Folding removes case, accents, vowel marks and
joiners and unifies variants of a letter: é/e, İ/i, ß/ss, أ/ا, ة/ه, ﬁ/fi, full width.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

MAXIMUM_CHARS = 100  # per word; longer ones are truncated
_ASCII = re.compile(r"[A-Za-z0-9]+")
_LETTERS = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
    | {"\u0671": "ا", "ى": "ي", "ة": "ه", "ی": "ي", "ک": "ك", "ہ": "ه", "\u0640": None}
)
# Without ink and inside of words: joiners, soft hyphens, marks of direction. U+200B does separate words.
_JOINERS = set("\u00ad\u061c\u200c\u200d\u200e\u200f\u2060\ufeff")
_UNSPACED = (
    range(0x0E00, 0x0F00), range(0x1000, 0x10A0), range(0x1780, 0x1800), range(0x3005, 0x3008), range(0x3040, 0x3100),
    range(0x31F0, 0x3200), range(0x3400, 0xA000), range(0xF900, 0xFB00), range(0xFF66, 0xFFA0), range(0x20000, 0x40000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Word:
    """A folded word and its position in the text, in characters."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """Return the words of the text in order."""
    if text.isascii():
        return [Word(one[0].lower()[:MAXIMUM_CHARS], one.start(), one.end()) for one in _ASCII.finditer(text)]
    found: list[Word] = []
    start = None
    for place, char in enumerate(text):
        kind = _kind(char)
        if kind == "letter" or (kind == "joiner" and start is not None):
            start = place if start is None else start
            continue
        if start is not None:
            _add(found, text, start, place)
            start = None
        if kind == "alone":
            _add(found, text, place, place + 1)
    if start is not None:
        _add(found, text, start, len(text))
    return found


def folded(text: str) -> list[str]:
    """Return the folded words alone; every message is split when it is stored, and most are ASCII."""
    if text.isascii():
        return [one[:MAXIMUM_CHARS] for one in _ASCII.findall(text.lower())]
    return [word.text for word in words(text)]


def _add(found: list[Word], text: str, start: int, end: int) -> None:
    if folded := fold(text[start:end]):
        found.append(Word(folded, start, end))


@lru_cache(maxsize=8_192)
def _kind(char: str) -> str:
    if char in _JOINERS:
        return "joiner"
    if unicodedata.category(char)[0] not in "LMN":
        return ""
    return "alone" if any(ord(char) in block for block in _UNSPACED) else "letter"


@lru_cache(maxsize=8_192)
def fold(word: str) -> str:
    """Return the folded word, "" if it has no letter or digit."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold())
    apart = unicodedata.normalize("NFD", plain.translate(_LETTERS))
    bare = unicodedata.normalize("NFC", "".join(char for char in apart if not _is_accent(char))).translate(_LETTERS)
    return "".join(char for char in bare if unicodedata.category(char)[0] in "LMN")[:MAXIMUM_CHARS]


def _is_accent(char: str) -> bool:
    """Return whether a mark is ignored: accents, Hebrew points, Arabic vowels, but not vowels of Indic scripts."""
    place = unicodedata.combining(char)
    return place >= 200 or 10 <= place <= 35


def utf16_offsets(text: str) -> list[int]:
    """Return the UTF-16 offset of each character and of the end."""
    offsets, units = [], 0
    for char in text:
        offsets.append(units)
        units += 2 if ord(char) > 0xFFFF else 1
    return [*offsets, units]
