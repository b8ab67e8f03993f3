"""Cleaning of labels and other one-line texts: white space, control characters, emoji."""

import unicodedata

# They change the direction of the following text (UAX #9), in a mail or a list of names.
BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
JOINERS = frozenset("\u200c\u200d")  # needed by Persian and Indic spelling, and by emoji
_VARIATION = range(0xFE00, 0xFE10)
_TAGS = range(0xE0020, 0xE0080)  # the flags of England, Scotland and Wales
_SKIN = range(0x1F3FB, 0x1F400)
_REGIONAL = range(0x1F1E6, 0x1F200)


def spaced(text: str) -> str:
    """Return `text` with every kind of space as U+0020."""
    return "".join(" " if char == "\t" or unicodedata.category(char)[0] == "Z" else char for char in text)


def is_readable(char: str) -> bool:
    """Return whether a character is allowed in a line: no control, direction mark, unassigned or private-use one."""
    return char not in BIDI_CONTROLS and (char.isprintable() or char in JOINERS or ord(char) in _TAGS)


def label(text: str, *, limit: int) -> str:
    """Return a clean label for any input, without refusing it.

    White space becomes U+0020, disallowed characters are dropped, and no emoji or accented letter is split at `limit`.
    """
    plain = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFC", text))
    return cut("".join(char for char in plain if is_readable(char)).strip(), limit).strip()


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters without splitting a grapheme cluster (UAX #29, simplified)."""
    if len(text) <= limit:
        return text
    end = limit
    while end > 0 and _holds_together(text, end):
        end -= 1
    return text[: end or limit]


def _holds_together(text: str, place: int) -> bool:
    """Return whether the characters around `place` belong to one grapheme cluster."""
    before, after = text[place - 1], text[place]
    if after in JOINERS or before == "\u200d" or ord(after) in _VARIATION or ord(after) in _TAGS or ord(after) in _SKIN:
        return True
    if unicodedata.category(after)[0] == "M":
        return True
    if ord(before) in _REGIONAL and ord(after) in _REGIONAL:
        run = 0
        while run < place and ord(text[place - 1 - run]) in _REGIONAL:
            run += 1
        return run % 2 == 1
    return False
