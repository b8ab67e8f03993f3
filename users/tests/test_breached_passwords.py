"""The list of leaked passwords: in clear, hashed, sorted on disk."""

import hashlib

import pytest

from users.passwords import breached
from users.passwords.breached import is_breached

PASSWORDS = [f"leaked password {number}" for number in range(200)]


def sha1(text):
    return hashlib.sha1(text.encode()).hexdigest().upper()


@pytest.fixture(params=["clear", "hashes", "lower", "counted", "on disk"])
def path(request, tmp_path, monkeypatch):
    lines = {
        "clear": PASSWORDS,
        "hashes": [sha1(password) for password in PASSWORDS],
        "lower": [sha1(password).lower() for password in PASSWORDS],
        "counted": sorted(f"{sha1(password)}:17" for password in PASSWORDS),
        "on disk": sorted(f"{sha1(password)}:{number}" for number, password in enumerate(PASSWORDS)),
    }[request.param]
    path = tmp_path / "list.txt"
    path.write_bytes("\r\n".join(lines).encode() + b"\r\n")
    if request.param == "on disk":
        monkeypatch.setattr(breached, "_entries", lambda *args: None)
    return path


def test_what_is_in_the_list_is_found_and_nothing_else(path):
    assert all(is_breached(password, path) for password in PASSWORDS)
    assert not any(is_breached(f"another {number}", path) for number in range(200))


@pytest.mark.django_db
def test_registration_refuses_it(api, path, settings):
    settings.BREACHED_PASSWORDS_FILE = str(path)
    body = {"username": "dora", "email": "dora@example.com", "password": PASSWORDS[0], "password_confirm": PASSWORDS[0]}
    answer = api.post("/api/auth/register/", body)
    assert [error["code"] for error in answer.data["errors"]["password"]] == ["password_breached"]
    body |= {"password": "not in the list 4", "password_confirm": "not in the list 4"}
    assert api.post("/api/auth/register/", body).status_code == 201


def test_a_list_that_is_not_there_stops_the_start(settings):
    settings.BREACHED_PASSWORDS_FILE = "/nowhere/list.txt"
    assert [error.id for error in breached.list_is_readable(None)] == ["users.E001"]
    settings.BREACHED_PASSWORDS_FILE = ""
    assert breached.list_is_readable(None) == []
