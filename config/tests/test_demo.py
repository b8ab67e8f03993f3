"""The demo people, whose password everybody knows."""

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

from config import demo


@pytest.fixture
def at_home(settings):
    settings.PRODUCTION, settings.EMBEDDED_DATABASE, settings.HOST = False, True, "127.0.0.1"


def people():
    return get_user_model().objects.filter(username__in=demo.PEOPLE)


@pytest.fixture
def demo_people(db, at_home):
    call_command("seed_demo", verbosity=0)


def test_they_can_sign_in_and_only_the_admin_is_staff(demo_people):
    assert sorted(person.username for person in people()) == ["admin", "alice", "bob", "charlie"]
    assert all(person.check_password("alviar-demo") for person in people())
    assert [person.username for person in people() if person.is_staff] == ["admin"]


def test_alice_and_bob_have_a_conversation_to_begin_with(demo_people, sign_in):
    alice = get_user_model().objects.get(username="alice")
    (conversation,) = sign_in(alice).get("/api/chat/conversations/").data["results"]
    assert conversation["kind"] == "direct"


def test_made_twice_they_are_the_same_people(demo_people):
    before = set(people().values_list("pk", flat=True))
    call_command("seed_demo", verbosity=0)
    assert set(people().values_list("pk", flat=True)) == before


@pytest.mark.parametrize(
    "change", [{"PRODUCTION": True}, {"EMBEDDED_DATABASE": False}, {"HOST": "0.0.0.0"}, {"HOST": "192.0.2.1"}]
)
def test_anywhere_else_none_are_made_and_those_there_are_shut_out(demo_people, settings, sign_in, change):
    signed_in = sign_in(get_user_model().objects.get(username="alice"))
    for name, value in change.items():
        setattr(settings, name, value)
    call_command("seed_demo", verbosity=0)
    assert not any(person.is_active or person.check_password("alviar-demo") for person in people())
    assert signed_in.get("/api/users/me/").status_code == 401


def test_none_are_made_elsewhere(db, at_home, settings):
    settings.HOST = "0.0.0.0"
    call_command("seed_demo", verbosity=0)
    assert not people().exists()


def test_whoever_changed_the_password_keeps_the_account_everywhere(demo_people, settings):
    alice = get_user_model().objects.get(username="alice")
    alice.set_password("a sentence of my own")
    alice.save()
    settings.HOST = "0.0.0.0"
    call_command("seed_demo", verbosity=0)
    settings.HOST = "127.0.0.1"
    call_command("seed_demo", verbosity=0)
    alice.refresh_from_db()
    assert alice.is_active
    assert alice.check_password("a sentence of my own")
