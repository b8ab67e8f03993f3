"""Search query syntax: all words must match, the last as a prefix; `"a phrase"` literally; `-word` excludes.

Everything else is plain text: engine operators are never passed through.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from chat.search.words import utf16_offsets, words

TERMS = 20
_QUOTES = str.maketrans(dict.fromkeys("“”„«»＂", '"') | {"−": "-"})
_TERM = re.compile(r'(-?)(?:"([^"]*)(?:"|$)|([^\s"]+))')


@dataclass(frozen=True)
class Term:
    """Consecutive words; `is_prefix`: the last one may match as a prefix."""

    words: tuple[str, ...]
    is_prefix: bool


@dataclass(frozen=True)
class Query:
    terms: tuple[Term, ...] = ()
    without: tuple[Term, ...] = field(default=())


def parse(text: str) -> Query:
    """Return the query of a text: at most 20 terms, without those that have no letter or digit."""
    terms: dict[Term, None] = {}
    without: dict[Term, None] = {}
    for minus, phrase, plain in _TERM.findall(text.translate(_QUOTES)):
        found = tuple(word.text for word in words(phrase or plain))
        if found and minus:
            without[Term(found, is_prefix=False)] = None
        elif found:
            terms[Term(found, is_prefix=not phrase)] = None
    return Query(tuple(terms)[:TERMS], tuple(without)[:TERMS])


def highlights(content: str, query: Query) -> list[list[int]]:
    """Return where the content matches, as `[start, end]` in UTF-16 units, in order and without overlaps."""
    found = words(content)
    ranges = sorted(
        (found[place].start, found[place + len(term.words) - 1].end)
        for term in query.terms
        for place in range(len(found) - len(term.words) + 1)
        if _matches([word.text for word in found[place : place + len(term.words)]], term)
    )
    merged: list[list[int]] = []
    for start, end in ranges:
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(end, merged[-1][1])
        else:
            merged.append([start, end])
    units = utf16_offsets(content)
    return [[units[start], units[end]] for start, end in merged]


def _matches(found: Sequence[str], term: Term) -> bool:
    if tuple(found[:-1]) != term.words[:-1]:
        return False
    return found[-1].startswith(term.words[-1]) if term.is_prefix else found[-1] == term.words[-1]
