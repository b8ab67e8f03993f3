"""Text utilities: detection of blank texts, and case folding for comparisons."""

import unicodedata

# Characters without ink that are not of category Cf: Default_Ignorable_Code_Point, the Braille blank, the null notehead
# of music.
INVISIBLE = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)}
    | {0x2065, 0x1D159, *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)}
)


def is_blank(text: str) -> bool:
    """Return whether the text has only white space, control, format and other invisible characters."""
    return all(
        char.isspace() or ord(char) in INVISIBLE or unicodedata.category(char) in {"Cc", "Cf", "Zs", "Zl", "Zp"}
        for char in text
    )


def fold(text: str) -> str:
    """Return `text` folded for comparison: NFKC and case-folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
