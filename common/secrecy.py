"""Whether a secret that somebody typed into a setting could be guessed."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

BITS = 60  # 32 hexadecimal digits of a random source have about 110 by this measure
PERIOD = 8  # a text that repeats one of so many characters or fewer


def is_guessable(secret: str) -> bool:
    """Tell whether a text is of few different characters, a repetition, or a run such as `abcdef…`.

    A lower bound of its entropy: that of its characters and that of the steps between them.
    """
    if len(set(secret)) < 8 or any(secret[period:] == secret[:-period] for period in range(1, PERIOD + 1)):
        return True
    steps = [ord(after) - ord(before) for before, after in itertools.pairwise(secret)]
    return min(_bits(secret), _bits(steps)) < BITS


def _bits(symbols: Sequence[object]) -> float:
    counts = Counter(symbols).values()
    total = len(symbols)
    return -sum(count * math.log2(count / total) for count in counts)
