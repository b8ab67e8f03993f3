"""Sanitising of file names: letters and joiners are kept; paths, controls and direction marks are removed."""

import re
import unicodedata

NAME_CHARS = 255
_DIRECTION = re.compile("[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_SEPARATORS = re.compile(r"[/\\]")


def clean(name: str) -> str:
    """Return the name without its path, "file" if nothing is left. A long name keeps its end, the suffix."""
    name = _SEPARATORS.split(unicodedata.normalize("NFC", name))[-1]
    name = _DIRECTION.sub("", name)
    name = "".join(" " if char.isspace() else char for char in name if unicodedata.category(char) not in {"Cc", "Cs"})
    name = name.strip(" ")
    if not name.strip(". \u200c\u200d"):
        return "file"
    if len(name) > NAME_CHARS:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[: NAME_CHARS - len(suffix) - 1]}.{suffix}" if dot and len(suffix) <= 16 else name[:NAME_CHARS]
    return name
