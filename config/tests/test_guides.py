"""The documentation site: made from the code, served by the product, nothing from outside."""

import re
import subprocess
import sys

import pytest
from django.conf import settings as django_settings

from chat.protocol import incoming, outgoing
from chat.protocol.close_codes import Close
from common import errors
from config import refusals  # noqa: F401  # names the codes of DRF as classes
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


def test_the_list_of_errors_has_every_code_once_and_no_other():
    text = (ROOT / "docs" / "errors.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if re.match(r"\| \d", line)]
    told = [
        (code, reason)
        for _status, codes, reasons, _action, _when in rows
        for code in re.findall(r"`(\w+)`", codes)
        for reason in re.findall(r"`(\w+)`", reasons) or [""]
    ]
    assert len(told) == len(set(told))
    known = [kind for kind in _all_of(errors.ApplicationError) if "tests" not in kind.__module__]
    assert {code for code, _reason in told} == {kind.code for kind in known} - {"error"}
    assert {reason for code, reason in told if code == "token_not_valid"} == {"invalid", *errors.TOKEN_DETAILS}
    for status, codes, _reasons, action, _when in rows:
        meant = [kind for kind in known if f"`{kind.code}`" in codes]
        assert {str(kind.status) for kind in meant} == set(status.split(", ")), codes
        if "token_not_valid" not in codes:
            assert {f"`{kind.action}`" for kind in meant} == {action}, codes


def _all_of(kind):
    for below in kind.__subclasses__():
        yield below
        yield from _all_of(below)


def test_the_page_of_the_socket_has_every_code_and_close_code_and_no_other():
    text = (ROOT / "docs" / "socket.md").read_text()
    table = text.partition("## When a frame is refused")[2].partition("## When it closes")[0]
    told = [
        (code, retryable)
        for codes, retryable in re.findall(r"^\| (`[^|]+`) \| (yes|no) \|", table, re.M)
        for code in re.findall(r"`(\w+)`", codes)
    ]
    assert sorted(code for code, _ in told) == sorted(outgoing.ERROR_CODES)
    assert {code for code, retryable in told if retryable == "yes"} == outgoing.RETRYABLE
    rows = re.findall(r"^\| (4\d\d\d) \|", text, re.M)
    assert sorted(rows) == sorted(str(close.value) for close in Close)


def test_the_page_of_settings_has_every_setting_once_and_no_other():
    shown = re.findall(r"^([A-Z][A-Z0-9_]+)=", site.settings(), re.M)
    chosen = [name for name in shown if re.match(r"SOCIAL_[A-Z]+_", name) and name not in module.env.declared]
    assert all(name.startswith(("SOCIAL_GOOGLE_", "SOCIAL_APPLE_", "SOCIAL_ACME_", "SOCIAL_WORK_")) for name in chosen)
    assert sorted(set(shown) - set(chosen)) == sorted(module.env.declared)
    assert len(shown) == len(set(shown))


def test_every_setting_that_a_page_names_is_one():
    pages = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "client" / "README.md"]
    shown = set(re.findall(r"^([A-Z][A-Z0-9_]+)=", site.settings(), re.M)) | set(module.env.declared)
    unknown = {
        (page.name, name)
        for page in pages
        if page.name != "CHANGELOG.md"  # which names settings of former times
        for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", page.read_text())
        if not {name, name.removesuffix("_FILE")} & shown and name not in NOT_SETTINGS
    }
    assert unknown == set()


# Names of the same form that other programs read, or that a page explains by.
NOT_SETTINGS = {
    "FAIL_FIRST",
    "ALVIAR_EXTRAS",  # Compose
    "CI_ARTEFACTS",  # .ci/run
    "ATOMIC_REQUESTS", "CONN_HEALTH_CHECKS", "CONN_MAX_AGE", "DEFAULT_AUTHENTICATION_CLASSES", "SIGNING_KEY",  # Django
    "NAME_FILE",  # any setting from a file
    "OTEL_EXPORTER_OTLP_HEADERS", "SSL_CERT_FILE",  # libraries
    "SO_REUSEPORT",  # sockets
}  # fmt: skip
