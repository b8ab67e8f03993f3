"""What the page on security requirements says of browsers and of our sources, where no other test shows it."""

import ast

import pytest
from django.conf import settings as django_settings
from django.test import Client

from conftest import PASSWORD

ROOT = django_settings.BASE_DIR
PAGES = ["/", "/admin/login/", "/reset-password/", "/api/docs/", "/api/asyncapi/", "/api/auth/login/", "/api/none/"]


def test_the_admins_cookie_is_kept_from_scripts_and_from_other_sites(client, admin_person):
    client.post("/admin/login/", {"username": admin_person.username, "password": PASSWORD})
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME]
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_tells_the_browser_to_guess_leak_and_frame_nothing(client, db, path):
    answer = client.get(path)
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] in {"same-origin", "no-referrer"}
    assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
    assert "default-src 'none'" in answer["Content-Security-Policy"]
    assert "base-uri 'none'" in answer["Content-Security-Policy"]
    if answer["Content-Type"].startswith("text/html"):
        assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/api/users/me/", "/api/auth/login/", "/admin/login/", "/docs/"])
def test_trace_is_refused(db, path):
    answer = Client(enforce_csrf_checks=True).trace(path, headers={"Authorization": "Bearer secret"})
    assert answer.status_code in {401, 403, 405}
    assert b"secret" not in answer.content


def test_no_source_runs_text_or_a_shell():
    forbidden = {"eval", "exec", "os.system", "os.popen", "pickle.loads", "marshal.loads", "yaml.load"}
    for package in ("chat", "common", "config", "sessions", "users"):
        for file in (ROOT / package).rglob("*.py"):
            if "tests" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    assert ast.unparse(node.func) not in forbidden, file
                    shell = [word for word in node.keywords if word.arg == "shell"]
                    assert not shell, file


def test_no_source_of_the_page_writes_html():
    files = [file for file in (ROOT / "client").glob("[ps][ar][gc]*/**/*.ts*") if "node_modules" not in file.parts]
    assert len(files) > 30
    for file in files:
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "new Function"):
            assert word not in file.read_text(), file
