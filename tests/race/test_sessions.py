"""What threads with connections of their own, let go at one moment, can do to a session. On a real PostgreSQL.

Each race runs twice: started together by a barrier, and with a second barrier *inside*, after the row was read and
judged and before it is written, which is where stock implementations lose.
"""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from common import purging, rows
from common.client import Client
from common.errors import TokenNotValid
from sessions import hot_sql
from sessions.authentication import authenticate
from sessions.models import UserSession
from sessions.services import lifecycle, rotation, validity
from sessions.tests.clock import REFRESH, envelope, later
from sessions.tokens import keys
from tests.together import together

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

THREADS, ROUNDS = 8, 20
CLIENT = Client(ip_address="203.0.113.7", user_agent="race")


@contextmanager
def meeting_before_the_write(monkeypatch, parties):
    """Hold every rotation that has read and judged the row until `parties` of them have."""
    barrier, swap = threading.Barrier(parties), hot_sql.swap
    met = set()

    def held(*args, **kwargs):
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            barrier.wait(60)
        return swap(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(hot_sql, "swap", held)
        yield


@pytest.fixture(autouse=True)
def _no_rates(settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "refresh_address": "0", "refresh_session": "0"}


@pytest.fixture
def dora(person):
    return person("dora")


def start(user, **details):
    return lifecycle.start(user=user, client=CLIENT, **details)


def refresh(token):
    response = APIClient().post(REFRESH, {"refresh": token})
    assert response.status_code in {200, 401}, response.content
    return response


def lives(token):
    try:
        rotation.verify(token)
    except TokenNotValid:
        return False
    return True


def one_successor(responses):
    assert [response.status_code for response in responses] == [200] * len(responses)
    assert len({response.json()["refresh"] for response in responses}) == 1
    assert sum("X-Refresh-Replayed" not in response for response in responses) == 1
    return responses[0].json()["refresh"]


def test_parallel_refreshes_have_one_successor_and_seven_replays(dora):
    token = start(dora).tokens.refresh
    for _ in range(ROUNDS):
        successor = one_successor(together(*[lambda token=token: refresh(token)] * THREADS))
        assert lives(successor)
        authenticate(refresh(token).json()["access"])  # the successor is used now
        token = successor
    assert UserSession.objects.get().generation == 1 + ROUNDS
    assert BlacklistedToken.objects.count() == ROUNDS


def test_parallel_refreshes_that_all_read_before_any_writes(dora, monkeypatch):
    token = start(dora).tokens.refresh
    for _ in range(ROUNDS):
        with meeting_before_the_write(monkeypatch, THREADS):
            token = one_successor(together(*[lambda token=token: refresh(token)] * THREADS))
    assert UserSession.objects.get().generation == 1 + ROUNDS


def test_a_refresh_beside_a_revocation_leaves_nothing_living(dora):
    for _ in range(ROUNDS):
        started = start(dora)
        sid = started.user_session.session_token
        *responses, _ = together(
            *[lambda token=started.tokens.refresh: refresh(token)] * 3,
            lambda sid=sid: lifecycle.revoke(user_id=dora.pk, sid=sid),
        )
        tokens = [started.tokens.refresh, started.tokens.access]
        for response in responses:
            if response.status_code == 200:
                tokens += [response.json()["refresh"], response.json()["access"]]
        assert not any(lives(token) for token in tokens)
        envelope(refresh(tokens[-2]), 401, "token_not_valid", "session_revoked")


def test_a_revocation_between_the_check_and_the_write_of_a_refresh_wins(dora, monkeypatch):
    started = start(dora)
    swap = hot_sql.swap

    def revoked_first(*args, **kwargs):
        together(lambda: lifecycle.revoke(user_id=dora.pk, sid=started.user_session.session_token))
        return swap(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(hot_sql, "swap", revoked_first)
        envelope(refresh(started.tokens.refresh), 401, "token_not_valid", "session_revoked", "login")
    assert UserSession.objects.get().generation == 1


def test_a_refresh_beside_a_password_change_leaves_only_the_new_pair(dora):
    for _ in range(ROUNDS):
        started = start(dora)
        *responses, pair = together(
            *[lambda token=started.tokens.refresh: refresh(token)] * 3,
            lambda row=started.user_session: lifecycle.reissue(user_session=row),
        )
        assert lives(pair.refresh)
        assert lives(pair.access)
        for response in responses:
            if response.status_code == 200:
                assert not lives(response.json()["refresh"])
                assert not lives(response.json()["access"])
            else:
                envelope(response, 401, "token_not_valid", "session_revoked", "login")


def test_a_password_change_between_the_check_and_the_write_of_a_refresh_wins(dora, monkeypatch):
    started = start(dora)
    swap, pairs = hot_sql.swap, []

    def changed_first(*args, **kwargs):
        pairs.extend(together(lambda: lifecycle.reissue(user_session=started.user_session)))
        return swap(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(hot_sql, "swap", changed_first)
        envelope(refresh(started.tokens.refresh), 401, "token_not_valid", "session_revoked", "login")
    assert lives(pairs[0].refresh)


def test_a_person_disabled_between_the_check_and_the_write_gets_no_successor(dora, monkeypatch):
    started = start(dora)
    swap = hot_sql.swap

    def disabled_first(*args, **kwargs):
        together(lambda: get_user_model().objects.filter(pk=dora.pk).update(is_active=False))
        return swap(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(hot_sql, "swap", disabled_first)
        envelope(refresh(started.tokens.refresh), 401, "token_not_valid", "user_inactive", "login")


def test_a_person_deleted_beside_refreshes_is_no_error(dora, person):
    def delete(one):
        try:
            one.delete()
        except IntegrityError:  # Django looked for the rows to take along before the timeline got one more
            get_user_model().objects.get(pk=one.pk).delete()

    for number in range(5):
        one = person(f"gone{number}")
        token = start(one).tokens.refresh
        together(*[lambda token=token: refresh(token)] * 4, lambda one=one: delete(one))
        envelope(refresh(token), 401, "token_not_valid", "user_inactive", "login")


def test_parallel_reuse_revokes_once_and_answers_401_to_all(dora):
    first = start(dora).tokens.refresh
    second = refresh(first).json()["refresh"]
    third = refresh(second).json()["refresh"]
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        responses = together(*[lambda: refresh(first)] * THREADS)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    reasons = sorted(envelope(response, 401, "token_not_valid")["reason"] for response in responses)
    assert reasons == ["session_revoked"] * (THREADS - 1) + ["token_reused"]
    assert not lives(third)


def test_the_newest_token_beside_a_reused_one_never_survives(dora):
    for _ in range(ROUNDS):
        first = start(dora).tokens.refresh
        second = refresh(first).json()["refresh"]
        third = refresh(second).json()["refresh"]
        newest, reused = together(lambda third=third: refresh(third), lambda first=first: refresh(first))
        envelope(reused, 401, "token_not_valid", "token_reused")
        assert not lives(third)
        if newest.status_code == 200:
            assert not lives(newest.json()["refresh"])


def test_two_rotations_within_a_second_and_the_first_again(dora):
    first = start(dora).tokens.refresh
    second = refresh(first).json()["refresh"]
    refresh(second)
    envelope(refresh(first), 401, "token_not_valid", "token_reused", "login")


def test_the_parent_after_ten_minutes(dora):
    parent = start(dora).tokens.refresh
    pair = refresh(parent).json()
    with later(minutes=10):
        assert refresh(parent).json()["refresh"] == pair["refresh"]
        authenticate(pair["access"])
        envelope(refresh(parent), 401, "token_not_valid", "token_reused", "login")
        assert not lives(pair["refresh"])


def test_logins_of_one_device_at_once_leave_one_session(dora):
    for _ in range(5):
        together(*[lambda: start(dora, device_fingerprint="tablet")] * 6)
        assert UserSession.objects.filter(is_active=True).count() == 1


def test_a_login_beside_a_password_reset_never_outlives_it(dora):
    def reset():
        with transaction.atomic():
            get_user_model().objects.filter(pk=dora.pk).update(password_changed_at=timezone.now())
            lifecycle.revoke_all(user_id=dora.pk, reason="password_reset")

    for _ in range(ROUNDS):
        checked = get_user_model().objects.get(pk=dora.pk)
        together(*[lambda checked=checked: start(checked)] * 3, reset)
        assert not UserSession.objects.filter(is_active=True).exists()


def test_logout_everywhere_beside_refreshes_leaves_nothing_living(dora):
    for _ in range(ROUNDS):
        tokens = [start(dora).tokens.refresh for _ in range(3)]
        *responses, _ = together(
            *[lambda token=token: refresh(token) for token in tokens],
            lambda: lifecycle.revoke_all(user_id=dora.pk, reason="logout_all"),
        )
        assert not any(lives(response.json()["refresh"]) for response in responses if response.status_code == 200)


def test_two_fingerprints_changed_to_the_same_at_once(dora):
    pairs = [start(dora, device_fingerprint=name).tokens for name in ("one", "two", "three")]

    def seen(access):
        return APIClient().get(
            "/api/users/sessions/", headers={"Authorization": f"Bearer {access}", "Device-Fingerprint": "same"}
        )

    responses = together(*[lambda pair=pair: seen(pair.access) for pair in pairs])
    assert [response.status_code for response in responses] == [200] * 3
    assert UserSession.objects.filter(device_fingerprint="same").count() == 1


def test_a_revocation_waits_for_the_write_of_a_socket_and_stops_the_next(dora):
    row = start(dora).user_session
    checked, revoked = threading.Event(), threading.Event()

    def write():
        with transaction.atomic():
            validity.require_living(row.pk)
            checked.set()
            assert not revoked.wait(0.3)  # it has to wait for our commit

    def revoke():
        assert checked.wait(60)
        lifecycle.revoke(user_id=dora.pk, sid=row.session_token)
        revoked.set()

    together(write, revoke)
    assert revoked.is_set()
    with pytest.raises(TokenNotValid):
        validity.require_living(row.pk)


def test_a_login_replaces_a_session_that_takes_on_its_fingerprint_at_this_moment(dora, monkeypatch):
    """The other session's request commits between the login's look and its write."""
    other, insert = start(dora, device_fingerprint="other").user_session, rows.insert
    attempts = []

    def overtaken(instance):
        attempts.append(instance)
        if len(attempts) == 1:
            together(lambda: UserSession.objects.filter(pk=other.pk).update(device_fingerprint="tablet"))
        return insert(instance)

    with monkeypatch.context() as patch:
        patch.setattr(rows, "insert", overtaken)
        started = start(dora, device_fingerprint="tablet").user_session
    assert len([one for one in attempts if isinstance(one, UserSession)]) == 2
    assert UserSession.objects.get(is_active=True).pk == started.pk
    other.refresh_from_db()
    assert other.end_reason == "replaced"


def test_a_row_that_stays_locked_is_503_and_signs_nobody_out(dora):
    token = start(dora).tokens.refresh
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            UserSession.objects.select_for_update().get()
            held.set()
            done.wait(60)

    def ask():
        assert held.wait(60)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        try:
            return APIClient().post(REFRESH, {"refresh": token})
        finally:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")
            done.set()

    _, response = together(hold, ask)
    envelope(response, 503, "temporarily_unavailable", action="retry")
    assert int(response["Retry-After"]) >= 1
    assert refresh(token).status_code == 200


def test_two_purges_at_once_share_the_work(dora):
    for _ in range(40):
        start(dora)
    counts = []

    def purge():
        done = 0
        for one in purging.registered():
            while count := one.batch(3):
                done += count
        counts.append(done)

    with later(days=40):
        together(purge, purge)
    assert sum(counts) == 80  # 40 marked as ended, 40 removed, none of them twice
    assert not UserSession.objects.exists()


def test_the_locks_are_real():
    """The suite proves nothing on a database that takes no row locks."""
    assert connection.vendor == "postgresql"


def test_another_process_gives_the_same_successor(dora):
    """A restart between the rotation and the retry: nothing of it rests in a process or a cache."""
    token = start(dora).tokens.refresh
    successor = refresh(token).json()["refresh"]
    script = (
        "import django, sys; django.setup()\n"
        "from common.client import Client; from sessions.services import rotation\n"
        "rotated = rotation.rotate(refresh=sys.stdin.read(), client=Client())\n"
        "print(rotated.replayed, rotated.tokens.refresh)"
    )
    url = urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    keys_file = next(iter(keys.ring_files()))
    answer = subprocess.run(
        [sys.executable, "-c", script],
        input=token,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": url,
            "REDIS_URL": "",
            "SECRET_KEY": "another process" * 4,
            "JWT_SIGNING_KEYS": f"@{keys_file}",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert answer.stdout.splitlines()[-1] == f"True {successor}"
