"""The documentation site: made from the code, served by the product, nothing from outside."""

import re
import subprocess
import sys

import pytest
from django.conf import settings as django_settings

from chat.protocol import incoming, outgoing
from chat.protocol.close_codes import Close
from common import errors
from config import settings as module
from tools import site

ROOT = django_settings.BASE_DIR


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1", "DATABASE_URL": "sqlite:///:memory:"},
        check=True,
        timeout=120,
    )
    return folder


def test_the_site_is_built_without_a_warning_and_served(client, settings, built):
    settings.DOCS_ROOT = str(built)
    home = client.get("/docs/")
    page = home.getvalue().decode()
    assert (home.status_code, home["Content-Type"]) == (200, "text/html")
    assert "Alviar" in page
    for path in ("reference/settings", "reference/endpoints", "reference/frames", "tutorial/first-app", "adr"):
        assert client.get(f"/docs/{path}/").status_code == 200
    assert client.get("/docs/errors").headers["Location"] == "/docs/errors/"
    assert client.get("/docs/pictures/architecture.svg")["Content-Type"] == "image/svg+xml"


def test_a_page_loads_nothing_from_outside_and_runs_its_own_scripts_alone(client, settings, built):
    settings.DOCS_ROOT = str(built)
    for page in built.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", text), page
    home = client.get("/docs/")
    policy = home["Content-Security-Policy"]
    [scripts] = re.findall(r"script-src ([^;]+)", policy)
    assert "unsafe" not in scripts
    assert scripts.count("'sha256-") == len(
        {
            found.strip()
            for found in re.findall(r"<script(?![^>]*src=)[^>]*>(.*?)</script>", home.getvalue().decode(), re.S)
        }
    )


@pytest.mark.parametrize(
    "path",
    [
        "../manage.py",
        "%2e%2e/manage.py",
        "..%2f.env",
        "nothing/",
        "assets",
        "a%00b",
        pytest.param("a" * 5000, id="long"),
    ],
)
def test_nothing_else_is_served(client, settings, built, path):
    settings.DOCS_ROOT = str(built)
    response = client.get(f"/docs/{path}")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"


def test_before_it_is_built_it_says_how(client, settings, tmp_path):
    settings.DOCS_ROOT = str(tmp_path)
    response = client.get("/docs/")
    assert response.status_code == 404
    assert b"make docs" in response.content


def test_the_reference_names_everything_once():
    shown = site.settings()
    for name in module.env.declared:
        assert len(re.findall(rf"^{name}=", shown, re.M)) == 1, name
    shown = site.frames()
    for kind in incoming.INCOMING:
        assert f"### `{kind}`" in shown
    assert len(re.findall(r"^### ", shown, re.M)) >= len(incoming.INCOMING) + len(outgoing.OUTGOING)
    shown = site.close_codes()
    assert all(f"`{close.value}` | `{close.code}`" in shown for close in Close)
    shown = site.commands()
    for file in ROOT.glob("*/management/commands/*.py"):
        assert file.stem == "__init__" or f"## {file.stem}\n" in shown


def test_every_error_code_stands_in_the_list_of_errors():
    def all_of(kind):
        for below in kind.__subclasses__():
            yield below
            yield from all_of(below)

    text = (ROOT / "docs" / "errors.md").read_text() + (ROOT / "docs" / "socket.md").read_text()
    missing = sorted(
        {
            kind.code
            for kind in all_of(errors.ApplicationError)
            if "tests" not in kind.__module__ and f"`{kind.code}`" not in text
        }
    )
    assert missing == []
