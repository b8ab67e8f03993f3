"""A device is registered by its own session, and forgotten with it."""

import pytest
from django.core.management import call_command
from django.test import override_settings

from sessions import purging, receivers
from sessions.models import PushRegistration
from sessions.push import endpoints, vapid
from sessions.services import lifecycle
from sessions.tests.clock import later
from tests.push_services import Browser, Service, b64, unb64

KEY = "/api/users/push/key/"


class Nowhere(Service):
    """A push service that nobody has to reach."""

    def __init__(self, url: str = "https://push.example.com") -> None:
        self.url = url


def subscription(url="https://push.example.com"):
    return Browser(Nowhere(url)).subscription


def path(client, sid=None):
    return f"/api/users/sessions/{sid or client.started.user_session.session_token}/push/"


def put(client, sid=None, **body):
    return client.put(path(client, sid), {"provider": "webpush", "subscription": subscription(), **body})


def codes(answer, field):
    assert answer.status_code == 400, answer.content
    assert answer.json()["code"] == "validation_error"
    return [error["code"] for error in answer.json()["errors"][field]]


# --- Register and forget ----------------------------------------------------------------------------------------------


def test_a_browser_registers_and_is_told_no_secret(alice_api):
    answer = put(alice_api, show="full")
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in ("provider", "environment", "show")} == {
        "provider": "webpush",
        "environment": None,
        "show": "full",
    }
    assert "push.example.com" not in answer.content.decode()


def test_who_says_nothing_of_show_shows_nothing(alice_api):
    assert put(alice_api).json()["show"] == "nothing"
    assert put(alice_api, show=None).json()["show"] == "nothing"


def test_registering_again_replaces(alice_api):
    put(alice_api, show="full")
    assert alice_api.put(path(alice_api), {"provider": "expo", "token": "ExponentPushToken[abc]"}).status_code == 200
    row = PushRegistration.objects.get()
    assert (row.provider, row.token, row.p256dh, row.show) == ("expo", "ExponentPushToken[abc]", "", "nothing")


def test_forgetting_twice_is_forgetting_once(alice_api):
    put(alice_api)
    for _ in range(2):
        assert alice_api.delete(path(alice_api)).status_code == 204
    assert not PushRegistration.objects.exists()


def test_no_session_registers_or_forgets_for_another(alice, alice_api, bob_api, sign_in):
    tablet = sign_in(alice)
    put(alice_api)
    sid = alice_api.started.user_session.session_token
    for stranger in (tablet, bob_api):
        assert put(stranger, sid=sid).status_code == 404
        assert stranger.delete(path(stranger, sid)).status_code == 404
    assert put(alice_api, sid="nonsense").status_code == 404
    assert PushRegistration.objects.get().user_session.session_token == sid


def test_nobody_registers_without_a_token(api, alice_api, alice):
    sid = alice_api.started.user_session.session_token
    assert api.put(path(alice_api), {"provider": "webpush"}).status_code == 401
    api.force_authenticate(user=alice)  # signed in, but by no session
    assert api.put(f"/api/users/sessions/{sid}/push/", {"provider": "webpush"}).status_code == 404


def test_a_device_that_changes_hands_is_pushed_to_for_its_new_owner_alone(alice_api, bob_api):
    phone = {"provider": "expo", "token": "ExponentPushToken[phone]"}
    assert alice_api.put(path(alice_api), phone).status_code == 200
    assert bob_api.put(path(bob_api), phone).status_code == 200
    assert PushRegistration.objects.get().user_id == bob_api.started.user_session.user_id


# --- The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        lambda client, user: client.post("/api/auth/logout/"),
        lambda client, user: client.post("/api/auth/logout-all/"),
        lambda client, user: lifecycle.revoke_all(user_id=user.pk, reason="password_reset"),
        lambda client, user: client.delete(path(client).removesuffix("push/")),
        lambda client, user: setattr(user, "is_active", False) or user.save(),
        lambda client, user: user.delete(),
    ],
    ids=["logout", "logout-all", "reset", "revoked", "disabled", "deleted"],
)
def test_a_registration_ends_with_its_session(alice, alice_api, end):
    put(alice_api)
    end(alice_api, alice)
    assert not PushRegistration.objects.exists()


def test_the_sessions_of_others_keep_theirs(alice_api, bob_api):
    put(alice_api)
    put(bob_api)
    alice_api.post("/api/auth/logout/")
    assert PushRegistration.objects.get().user_id == bob_api.started.user_session.user_id


def test_a_session_that_ran_out_loses_its_device(alice_api):
    put(alice_api)
    with later(days=8):
        purging.register()
        from common import purging as common

        for purge in common.registered():
            purge.batch(500)
        assert not PushRegistration.objects.exists()


def test_an_ended_session_registers_nothing(alice, alice_api):
    lifecycle.revoke_all(user_id=alice.pk)
    assert put(alice_api).status_code == 401
    assert not PushRegistration.objects.exists()


def test_the_export_holds_the_device_but_not_its_address(alice, alice_api):
    put(alice_api, show="sender")
    (row,) = receivers.export_sessions(user_id=alice.pk)["push"]
    assert (row["provider"], row["show"]) == ("webpush", "sender")
    assert row["session_id"] == alice_api.started.user_session.session_token
    assert "push.example.com" not in str(row)


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1", "https://10.1.2.3", "https://192.168.0.1", "https://172.16.5.5", "https://169.254.169.254",
        "https://100.64.0.1", "https://0.0.0.0", "https://[::1]", "https://[fe80::1]", "https://[fd00::1]",
        "https://[::ffff:10.0.0.1]", "https://[64:ff9b::7f00:1]", "https://[2002:7f00:1::]", "https://224.0.0.1",
        "https://localhost", "https://LOCALHOST.", "https://db.internal", "https://printer.local", "https://router",
        "https://2130706433", "https://0x7f.1", "https://127.1", "https://017700000001", "https://10.0.0.1.",
        "https://metadata.google.internal", "https://255.255.255.255",
    ],
)  # fmt: skip
def test_an_endpoint_in_a_private_network_is_refused(alice_api, url):
    assert codes(put(alice_api, subscription=subscription(url)), "subscription") == ["private_endpoint"]
    assert not PushRegistration.objects.exists()


@pytest.mark.parametrize(
    "url",
    ["http://push.example.com", "ftp://push.example.com", "https://user:pw@push.example.com", "https://", "push",
     "https://push.example.com:0", "https://push.example.com:99999", "https://push.example.com/\n", "file:///etc/passwd",
     "https://pus\u200bh.example.com", "https://push.example.com/" + "a" * 2_100],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(alice_api, url):
    assert put(alice_api, subscription=subscription(url)).status_code == 400


@pytest.mark.parametrize(
    "url", ["https://8.8.8.8", "https://[2606:4700::1111]", "https://updates.push.services.example"]
)
def test_public_endpoints_are_taken(alice_api, url):
    assert put(alice_api, subscription=subscription(url)).status_code == 200


def test_a_private_endpoint_may_be_allowed(alice_api, settings):
    settings.PUSH_PRIVATE_ENDPOINTS = True
    assert put(alice_api, subscription=subscription("http://127.0.0.1:9")).status_code == 200


def _keys(**keys):
    given = subscription()
    return {**given, "keys": {**given["keys"], **keys}}


@pytest.mark.parametrize(
    "given",
    [None, "x", {}, {"endpoint": "https://push.example.com"}, _keys(p256dh=""), _keys(p256dh="AAAA"),
     _keys(p256dh=b64(b"\x04" + b"\x01" * 64)), _keys(auth="AAAA"), _keys(auth="@@"), _keys(auth=b64(b"1" * 17)),
     _keys(p256dh=b64(b"\x02" + unb64(subscription()["keys"]["p256dh"])[1:33]))],
)  # fmt: skip
def test_a_subscription_has_the_keys_of_a_browser(alice_api, given):
    assert put(alice_api, subscription=given).status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"provider": "pigeon"}, "provider"),
        ({"provider": None}, "provider"),
        ({"provider": "expo"}, "token"),
        ({"provider": "expo", "token": "abc"}, "token"),
        ({"provider": "expo", "token": 5}, "token"),
        ({"provider": "apns", "token": "../../3/device/x"}, "token"),
        ({"provider": "fcm", "token": "a b"}, "token"),
        ({"provider": "expo", "token": "ExponentPushToken[a]", "show": "all"}, "show"),
        ({"provider": "expo", "token": "ExponentPushToken[a]", "environment": "moon"}, "environment"),
        ({"provider": "fcm", "token": "abc"}, "provider"),
        ({"provider": "apns", "token": "ab" * 32}, "provider"),
    ],
)
def test_what_is_no_registration_is_refused(alice_api, body, field):
    assert codes(alice_api.put(path(alice_api), body), field)


def test_what_the_server_cannot_push_by_is_said(alice_api, settings):
    settings.EXPO_PUSH = False
    answer = alice_api.put(path(alice_api), {"provider": "expo", "token": "ExponentPushToken[a]"})
    assert codes(answer, "provider") == ["not_configured"]


# --- The key ----------------------------------------------------------------------------------------------------------


def test_the_key_is_one_that_a_browser_takes(alice_api, api):
    key = alice_api.get(KEY).json()["vapid_public_key"]
    assert unb64(key)[0] == 4
    assert len(unb64(key)) == 65
    assert alice_api.get(KEY).json()["vapid_public_key"] == key
    assert api.get(KEY).status_code == 401


def test_a_key_of_ones_own_is_the_one_that_is_told(alice_api, capsys):
    call_command("push_keys")
    private, public = capsys.readouterr().out.split("\n")[:2]
    with override_settings(VAPID_PRIVATE_KEY=private.removeprefix("VAPID_PRIVATE_KEY=")):
        assert alice_api.get(KEY).json()["vapid_public_key"] == public.split()[-1]


def test_another_secret_is_another_key(settings):
    before = vapid.public_key()
    settings.SECRET_KEY = "another secret of this server, long enough"
    assert vapid.public_key() != before


# --- Resolved once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["fe80::1%eth0"], ["::ffff:192.168.1.1"]]
)
def test_a_name_that_leads_into_a_private_network_is_refused(monkeypatch, addresses):
    monkeypatch.setattr(endpoints, "resolve", lambda host, port: addresses)
    with pytest.raises(endpoints.EndpointRefused):
        endpoints.allowed("push.example.com", 443)
