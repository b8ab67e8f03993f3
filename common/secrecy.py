"""Detection of guessable secrets in settings."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

BITS = 60  # 32 hexadecimal digits of a random source have about 110 by this measure
PERIOD = 8  # the longest period of a repetition


def is_guessable(secret: str) -> bool:
    """Return whether a text has few distinct characters, is a repetition, or a run such as `abcdef…`.

    Uses the entropy of its characters and of the differences between neighbours.
    """
    if len(set(secret)) < 8 or any(secret[period:] == secret[:-period] for period in range(1, PERIOD + 1)):
        return True
    steps = [ord(after) - ord(before) for before, after in itertools.pairwise(secret)]
    return min(_bits(secret), _bits(steps)) < BITS


def _bits(symbols: Sequence[object]) -> float:
    counts = Counter(symbols).values()
    total = len(symbols)
    return -sum(count * math.log2(count / total) for count in counts)
