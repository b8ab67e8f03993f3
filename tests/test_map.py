"""The maps lead somewhere: every file that the documents name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("*ions/*.md")),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    named = re.findall(r"(?<![\w/.])((?:users|sessions|chat|common|config|tests)/[\w/]+\.py)\b", document.read_text())
    missing = sorted({name for name in named if not (ROOT / name).exists()})
    assert missing == []
