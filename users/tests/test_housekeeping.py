"""What accounts let go of."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from common import purging
from users.models import EmailVerificationToken, LoginCounter, PasswordResetToken

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def purge(name):
    return next(purge for purge in purging.registered() if purge.name == name).batch(500)


def fail(api, username, times=1):
    for _ in range(times):
        api.post("/api/auth/login/", {"username": username, "password": "wrong"})


def test_counters_go_once_they_count_no_more(api, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        fail(api, "nobody")
        clock.shift(timedelta(minutes=20))
        fail(api, "alice", times=5)
        clock.shift(timedelta(minutes=20))
        assert purge("login counters") == 1
        assert purge("ended lockouts") == 0
        assert LoginCounter.objects.count() == 1
        clock.shift(timedelta(minutes=20))
        assert purge("login counters") == 1
        assert purge("ended lockouts") == 1
        alice.refresh_from_db()
        assert (alice.login_attempts, alice.locked_until) == (0, None)


@pytest.mark.parametrize(("model", "name"), [(PasswordResetToken, "reset"), (EmailVerificationToken, "verification")])
def test_links_go_a_week_after_their_end(alice, model, name):
    with time_machine.travel(NOW, tick=False) as clock:
        model.objects.create(user=alice)
        clock.shift(timedelta(days=7))
        assert purge(f"{name} links") == 0
        clock.shift(timedelta(days=1))
        assert purge(f"{name} links") == 1
