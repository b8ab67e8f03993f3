"""What can be turned off is turned off from the mail itself: by one click of the mail program, or by a page."""

import re

import pytest
from django.core import mail
from django.test import Client

from users.mail import letters, tasks

pytestmark = pytest.mark.django_db


def page_of(message):
    (page,) = re.findall(r"^<http[^/]+//[^/]+(/unsubscribe/\?ticket=\S+)>$", message.extra_headers["List-Unsubscribe"])
    return page


@pytest.fixture
def page(alice):
    tasks.send_mail.func(alice.pk, "new_sign_in")
    return page_of(mail.outbox[-1])


def wants_mail(user):
    user.refresh_from_db()
    return user.email_notifications


def test_only_what_can_be_turned_off_says_how(alice):
    for name in letters.LETTERS:
        tasks.send_mail.func(alice.pk, name)
        message = mail.outbox[-1]
        for header in ("List-Unsubscribe", "List-Unsubscribe-Post"):
            assert (header in message.extra_headers) == (name in letters.OPTIONAL)
        assert ("/unsubscribe/" in message.body) == (name in letters.OPTIONAL)
        assert ("/unsubscribe/" in message.alternatives[0].content) == (name in letters.OPTIONAL)


def test_one_click_of_a_mail_program_turns_them_off(alice, page):
    program = Client(enforce_csrf_checks=True)
    answer = program.post(page, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200
    assert not wants_mail(alice)
    tasks.send_mail.func(alice.pk, "new_sign_in")
    assert len(mail.outbox) == 1


def test_opening_the_link_turns_nothing_off(alice, page, client):
    for method in (client.get, client.head):
        assert method(page).status_code == 200
    assert wants_mail(alice)
    assert 'method="post"' in client.get(page).content.decode()


@pytest.mark.parametrize("ticket", ["", "x", "WzEsIngiXQ:1aaaaa:bbbb", "%00", "a" * 5000])
def test_a_forged_ticket_turns_nothing_off(alice, client, ticket):
    answer = client.post(f"/unsubscribe/?ticket={ticket}")
    assert answer.status_code == 200
    assert wants_mail(alice)


def test_a_ticket_is_good_for_one_person_and_the_address_that_it_went_to(alice, bob, page, client):
    client.post(page.replace("ticket=", "ticket=x"))
    assert wants_mail(alice)
    type(alice).objects.filter(pk=alice.pk).update(email="new@example.com")
    client.post(page)
    assert wants_mail(alice)
    assert wants_mail(bob)
