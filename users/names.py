"""Names that cannot pass for one another: NFKC, case-folded, compared by look-alike skeleton.

Source: UTS #39 §4 (confusables) in a small form: one script per name, so that only look-alikes within a script remain.
"""

import unicodedata

# Look-alikes that survive NFKC and case folding inside one script (UTS #39 confusables.txt, the Latin ones in use).
_LOOK_ALIKES = str.maketrans({"0": "o", "1": "l", "|": "l", "ı": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h"})


def normalise(name: str) -> str:
    """Return the name in NFKC; what is shown and stored."""
    return unicodedata.normalize("NFKC", name)


def skeleton(name: str) -> str:
    """Return what names are compared by: the same for names that look the same."""
    folded = unicodedata.normalize("NFKC", normalise(name).casefold())
    return folded.translate(_LOOK_ALIKES)
