"""Parsing of mentions: `@name` in any case and next to any script, but not in code or in quotations."""

import re
import unicodedata
from collections.abc import Iterable

from common.text import fold

MENTIONS = 50
NAME_CHARS = 150
SPELLINGS = 40  # per mention, if the end of the name is ambiguous
ENDS = 5  # of trailing dots and dashes, as many may belong to the name

_CODE = re.compile(
    r"^[ \t]*(```+|~~~+).*?(?:^[ \t]*\1|\Z)|(?<!`)(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.DOTALL | re.MULTILINE
)
_QUOTED = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
# Scripts with spaces between words: a letter right before the `@` makes it an address, as in joe@example.com. In
# others (Chinese, Thai) words are adjacent, and in Arabic and Hebrew "and" is joined to the following word.
_SPACED = ("LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN")
# Scripts without spaces, where the end of a name is ambiguous.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_PUNCTUATION = "_.-+"


def mentioned(content: str) -> list[list[str]]:
    """Return for each mention, at most 50, the folded names that it may refer to, the longest first."""
    if "@" not in content and "\uff20" not in content:
        return []
    text = unicodedata.normalize("NFKC", _QUOTED.sub("", _CODE.sub(" ", content)))
    found: dict[tuple[str, ...], None] = {}
    at = text.find("@")
    while at >= 0 and len(found) < MENTIONS:
        if not _is_address(text[max(0, at - NAME_CHARS) : at]):
            end = at + 1
            while end < len(text) and end - at <= NAME_CHARS and _is_name_char(text[end]):
                end += 1
            if names := _spellings(text[at + 1 : end]):
                found[tuple(names)] = None
        at = text.find("@", at + 1)
    return [list(names) for names in found]


def chosen(mentions: Iterable[list[str]], members: dict[str, int]) -> list[int]:
    """Return the mentioned members in order, each once: for each mention the longest name of a member."""
    ids = (next((members[name] for name in names if name in members), None) for names in mentions)
    return [user_id for user_id in dict.fromkeys(ids) if user_id is not None]


def _is_address(before: str) -> bool:
    """Return whether the text before an `@` ends in what may be an address; `_` at a word's start is emphasis."""
    last = before[-1:]
    if last == "_":
        last = before.rstrip("_")[-1:]
        return bool(last) and (last in {"@", *_PUNCTUATION} or last.isalnum())
    return bool(last) and (last in {"@", *_PUNCTUATION} or last.isdigit() or _script(last) in _SPACED)


def _is_name_char(char: str) -> bool:
    return char in _PUNCTUATION or unicodedata.category(char) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"}


def _spellings(token: str) -> list[str]:
    """Return the candidates of a token: with and without trailing punctuation, and cut where another script begins.

    No two names differ in their trailing punctuation alone.
    """
    if not (bare := token.rstrip(_PUNCTUATION)):
        return []
    names, script = [bare], ""
    for place, char in enumerate(token):
        following = _script(char)
        if script and following and place and (following != script or following in _UNSPACED):
            names.append(token[:place].rstrip(".-+"))
        script = following or script
    ends = range(min(len(token), len(bare) + ENDS), len(bare), -1)
    names = [*(token[:end] for end in ends), *sorted(names, key=len, reverse=True)]
    folded = [fold(name) for name in names]
    return [name for name in dict.fromkeys(folded) if name][:SPELLINGS]


def _script(char: str) -> str:
    """Return the script of a letter, by the first word of its name; "" for digits, marks and punctuation."""
    if unicodedata.category(char)[0] != "L":
        return ""
    return unicodedata.name(char, "").replace("-", " ").split(" ")[0]
