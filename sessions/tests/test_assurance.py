"""When and by what somebody proved who they are: in the row, the token, the list; and when that is fresh."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
import time_machine

from common.errors import TokenNotValid
from sessions.authentication import authenticate
from sessions.models import UserSession
from sessions.services import assurance

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def claims(token):
    return jwt.decode(token, options={"verify_signature": False})


def row(client):
    return UserSession.objects.get(session_token=client.started.user_session.session_token)


def test_a_login_stands_in_row_token_and_list(sign_in, alice):
    with time_machine.travel(NOW, tick=False):
        client = sign_in(alice)
        said = claims(client.started.tokens.access)
        shown = client.get("/api/users/sessions/").data["results"][0]
    assert (row(client).authenticated_at, row(client).amr) == (NOW, ["pwd"])
    assert (said["auth_time"], said["amr"]) == (int(NOW.timestamp()), ["pwd"])
    assert (shown["auth_time"], shown["amr"]) == (NOW, ["pwd"])


def test_a_refresh_is_no_proof(sign_in, api, alice):
    with time_machine.travel(NOW, tick=False) as clock:
        client = sign_in(alice)
        clock.shift(3600)
        answer = api.post("/api/auth/token/refresh/", {"refresh": client.started.tokens.refresh})
    assert claims(answer.data["access"])["auth_time"] == int(NOW.timestamp())


@pytest.mark.parametrize(("seconds", "fresh"), [(0, True), (900, True), (901, False), (-60, True)])
def test_a_proof_is_fresh_for_a_quarter_of_an_hour(sign_in, alice, seconds, fresh):
    one = row(sign_in(alice))
    at = one.authenticated_at + timedelta(seconds=seconds)
    assert assurance.is_fresh(one, second_factor=False, at=at) is fresh


def test_where_a_second_factor_is_on_one_factor_is_never_fresh(sign_in, alice):
    one = row(sign_in(alice))
    assert not assurance.is_fresh(one, second_factor=True, at=one.authenticated_at)
    one.amr = ["pwd", "otp", "mfa"]
    assert assurance.is_fresh(one, second_factor=True, at=one.authenticated_at)


def test_a_row_of_an_older_release_counts_from_its_login_by_password(sign_in, alice):
    client = sign_in(alice)
    UserSession.objects.update(authenticated_at=None, amr=None)
    known = authenticate(client.started.tokens.access)
    assert (known.auth_time, known.amr) == (row(client).created_at, ("pwd",))


def test_a_new_proof_gives_an_access_token_of_the_same_session_and_generation(sign_in, alice):
    client = sign_in(alice)
    one = row(client)
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        proven = assurance.prove(user_id=alice.pk, sid=one.session_token, gen=one.generation, amr=["mfa", "otp"])
    said = claims(proven.access)
    assert (said["sid"], said["gen"], said["amr"]) == (str(one.session_token), 1, ["pwd", "otp", "mfa"])
    assert proven.auth_time == row(client).authenticated_at == NOW + timedelta(days=1)


def test_a_revoked_session_takes_no_proof(sign_in, alice):
    client = sign_in(alice)
    sid = client.started.user_session.session_token
    UserSession.objects.update(is_active=False, end_reason="revoked")
    with pytest.raises(TokenNotValid):
        assurance.prove(user_id=alice.pk, sid=sid, gen=1, amr=["pwd"])
    assert row(client).authenticated_at < datetime.now(UTC)
