"""The first administrator, from the command line."""

import io
import re

import pytest
from django.core.management import CommandError, call_command

from users.models import User

pytestmark = pytest.mark.django_db


def run(*args):
    out = io.StringIO()
    call_command("first_admin", *args, stdout=out)
    return out.getvalue()


def test_the_link_lets_the_administrator_choose_a_password_and_come_in(client, api):
    said = run("root", "Root@Example.com")
    token = re.search(r"/reset-password/#token=(\S+)", said)[1]
    new = {"new_password": "a-long-new-one-7", "new_password_confirm": "a-long-new-one-7"}
    assert api.post("/api/auth/password-reset/confirm/", {"token": token, **new}).status_code == 200
    assert client.login(username="root", password="a-long-new-one-7")
    assert client.get("/admin/").status_code == 200


def test_a_password_may_come_on_standard_input(client, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a-long-new-one-7\n"))
    said = run("root", "root@example.com", "--password-stdin")
    assert "token" not in said
    assert client.login(username="root", password="a-long-new-one-7")


def test_there_is_only_one_first(admin_person):
    with pytest.raises(CommandError, match="There is an administrator already"):
        run("root", "root@example.com")
    assert not User.objects.filter(username="root").exists()


@pytest.mark.parametrize(
    ("name", "address", "password"),
    [
        ("ali ce", "x@example.com", None),
        ("ALICE", "x@example.com", None),
        ("root", "not an address", None),
        ("root", "alice@example.com", None),
        ("root", "x@example.com", "password"),
    ],
)
def test_the_rules_of_registration_hold(alice, monkeypatch, name, address, password):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    with pytest.raises(CommandError):
        run(name, address, *(["--password-stdin"] if password else []))
    assert not User.objects.filter(is_superuser=True).exists()
