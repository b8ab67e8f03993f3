"""What has ended goes in time, in batches, and nothing else does."""

import io

import pytest
from django.core.management import call_command
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from common import purging
from sessions.models import UserSession
from sessions.services import lifecycle
from sessions.tests.clock import REFRESH, SESSIONS, later


def purge(**options):
    out = io.StringIO()
    call_command("purge_expired", stdout=out, stderr=options.pop("stderr", io.StringIO()), **options)
    return out.getvalue()


def test_an_ended_session_goes_after_its_retention(sign_in, alice, settings):
    ended, living = sign_in(alice), sign_in(alice, remember_me=True)
    row = ended.started.user_session
    lifecycle.revoke(user_id=alice.pk, sid=row.session_token)
    with later(days=29):
        purge()
        assert UserSession.objects.filter(pk=row.pk).exists()
        living.post(REFRESH, {"refresh": living.started.tokens.refresh})
    with later(days=30, hours=1):
        assert ", 1 ended sessions" in purge()
        assert list(UserSession.objects.values_list("pk", flat=True)) == [living.started.user_session.pk]


def test_a_session_that_ran_out_unseen_is_marked_then_removed(sign_in, alice):
    row = sign_in(alice).started.user_session
    with later(days=8):
        assert "1 sessions that ran out, 0 ended" in purge()
        row.refresh_from_db()
        assert (row.is_active, row.end_reason, row.ended_at) == (False, "expired", row.expires_at)
    with later(days=38):
        assert "1 ended sessions" in purge()
        assert not UserSession.objects.exists()


def test_a_blacklisted_token_goes_once_it_has_ended_by_itself(api, alice_api):
    api.post(REFRESH, {"refresh": alice_api.started.tokens.refresh})
    with later(days=6):
        assert "0 blacklisted tokens" in purge()
    with later(days=7, minutes=1):
        assert "1 blacklisted tokens" in purge()
    assert (OutstandingToken.objects.count(), BlacklistedToken.objects.count()) == (0, 0)


def test_it_works_in_batches_and_says_one_line(sign_in, alice):
    for _ in range(7):
        sign_in(alice)
    with later(days=40):
        text = purge(batch=2)
    assert text.startswith("purged: ")
    assert "7 sessions that ran out, 7 ended sessions" in text
    assert text.count("\n") == 1
    assert "0 sessions that ran out, 0 ended sessions" in purge(batch=2)


def test_on_a_terminal_it_draws_a_bar(sign_in, alice):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    sign_in(alice)
    screen = Terminal()
    with later(days=40):
        purge(stderr=screen)
    assert "[##" in screen.getvalue()


def test_the_living_are_left_alone(alice_api):
    purge()
    assert alice_api.get(SESSIONS).status_code == 200


@pytest.mark.django_db
def test_an_app_registers_what_it_wants_gone(alice):
    from django.contrib.auth import get_user_model

    people = purging.delete_batch(lambda: get_user_model().objects.filter(username="alice"))
    purging.register("people of the test", people)
    try:
        assert "1 people of the test" in purge()
    finally:
        del purging._registered["people of the test"]
    assert not get_user_model().objects.exists()
