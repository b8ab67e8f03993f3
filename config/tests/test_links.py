"""Links of the documents: every one inside leads somewhere, every one to outside has the form of one."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    ROOT / "client" / "README.md",
    ROOT / "benchmarks" / "README.md",
]
LINK = re.compile(r"\]\((<[^>]+>|[^)\s]+)\)")
CODE = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`", re.M | re.S)


def _links(file: Path) -> list[str]:
    return [link.strip("<>") for link in LINK.findall(CODE.sub("", file.read_text()))]


def _anchors(file: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and mkdocs both make them."""
    titles = re.findall(r"^#+ (.+)$", CODE.sub(lambda match: match[0].strip("`"), file.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file: Path, db: None):
    for link in _links(file):
        if link.startswith(("http://", "https://", "mailto:")):
            split = urlsplit(link)
            host = split.hostname or ""
            assert split.scheme == "mailto" or re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}|127\.0\.0\.1|localhost", host), (
                link
            )
            assert " " not in link
        elif link.startswith("/"):  # a page of the running product
            assert link == "/docs/" or Client().get(link).status_code == 200, link
        else:
            path, _, anchor = link.partition("#")
            target = (file.parent / path).resolve() if path else file
            if "reference/" in path and not target.exists():  # made from the code: the site's own build checks these
                continue
            assert target.exists(), link
            assert not anchor or anchor in _anchors(target), link


def test_no_page_says_the_same_paragraph_twice():
    seen: dict[str, Path] = {}
    for file in sorted(ROOT / "docs" / name for name in (ROOT / "docs").rglob("*.md")):
        for paragraph in re.split(r"\n\s*\n", CODE.sub("", file.read_text())):
            text = " ".join(paragraph.split())
            if len(text) > 200:
                assert text not in seen, f"{file} says what {seen[text]} says: {text[:80]}"
                seen[text] = file
