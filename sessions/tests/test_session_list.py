"""See one's devices, name them."""

import pytest
from django.utils import timezone

from common.client import Client
from common.signals import security_event
from sessions.models import UserSession
from sessions.places import sockets
from sessions.services import lifecycle
from sessions.tests.clock import REFRESH, SESSIONS, envelope, later

KEYS = [
    "id", "is_current", "device_name", "device_fingerprint", "ip_address", "location", "user_agent", "client",
    "created_at", "last_seen_at", "idle_expires_at", "absolute_expires_at", "remember_me", "auth_time", "amr",
    "sockets",
]  # fmt: skip


def test_the_list_shows_the_living_ones_newest_activity_first(sign_in, alice, bob_api):
    old, ended, current = (sign_in(alice, device_fingerprint=name) for name in ("device-one", "two", "three"))
    lifecycle.revoke(user_id=alice.pk, sid=ended.started.user_session.session_token)
    with later(minutes=2):
        page = current.get(SESSIONS).json()
    assert set(page) == {"next", "previous", "results"}
    assert [row["id"] for row in page["results"]] == [
        str(one.started.user_session.session_token) for one in (current, old)
    ]
    assert [row["is_current"] for row in page["results"]] == [True, False]
    assert list(page["results"][0]) == KEYS
    assert page["results"][1]["device_fingerprint"] == "ce-one"


def test_the_list_pages(sign_in, alice):
    clients = [sign_in(alice) for _ in range(5)]
    seen = []
    url = f"{SESSIONS}?limit=2"
    while url:
        page = clients[0].get(url).json()
        seen += [row["id"] for row in page["results"]]
        assert len(page["results"]) <= 2
        url = page["next"]
    assert set(seen) == {str(client.started.user_session.session_token) for client in clients}
    assert len(seen) == 5


def test_the_printed_test_of_the_guide(api, alice, sign_in):
    sign_in(alice)
    api.force_authenticate(user=alice)
    response = api.get(SESSIONS)
    assert response.status_code == 200
    assert [row["is_current"] for row in response.json()["results"]] == [False]


def test_without_credentials_the_list_is_401(api, db):
    envelope(api.get(SESSIONS), 401, "not_authenticated", action="login")


def test_open_sockets_are_counted(alice_api):
    sid = alice_api.started.user_session.session_token
    sockets.opened(sid, "one")
    sockets.opened(sid, "two")
    assert alice_api.get(SESSIONS).json()["results"][0]["sockets"] == 2
    sockets.closed(sid, "one")
    sockets.closed(sid, "one")
    assert alice_api.get(SESSIONS).json()["results"][0]["sockets"] == 1


def test_a_device_can_be_named(alice_api, bob_api):
    sid = alice_api.started.user_session.session_token
    response = alice_api.patch(f"{SESSIONS}{sid}/", {"device_name": "  Téléphone d’Alice 📱 ", "is_current": False})
    assert response.status_code == 200
    assert response.json()["device_name"] == "Téléphone d’Alice 📱"
    assert response.json()["is_current"] is True
    assert alice_api.get(SESSIONS).json()["results"][0]["device_name"] == "Téléphone d’Alice 📱"
    envelope(bob_api.patch(f"{SESSIONS}{sid}/", {"device_name": "mine"}), 404, "not_found")


@pytest.mark.parametrize("name", ["", "  ", "\u202e\x00", None, [], {}])
def test_a_name_has_a_visible_character(alice_api, name):
    sid = alice_api.started.user_session.session_token
    body = envelope(alice_api.patch(f"{SESSIONS}{sid}/", {"device_name": name}), 400, "validation_error")
    assert "device_name" in body["errors"]


LABELS = [
    ("iPhone de\u00a0Zoé", "iPhone de Zoé"), ("a\nb\tc\u3000d", "a b c d"), ("a\x00b\x1bc", "abc"),
    ("\u202eevil\u200f", "evil"), ("  x  ", "x"), ("x" * 101, "x" * 100), ("x" * 99 + "👩‍👩‍👧", "x" * 99),
    ("x" * 99 + "🇫🇷", "x" * 99), ("x" * 98 + "🇫🇷", "x" * 98 + "🇫🇷"), ("x" * 99 + "👍🏽", "x" * 99),
    ("👩‍👩‍👧 ❤️ 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",) * 2, ("می\u200cخواهم",) * 2,
    ("x" * 99 + "e\u0323\u0301", "x" * 99),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kept"), LABELS)
def test_a_label_is_cleaned_alike_at_login_and_at_rename(api, alice, alice_api, given, kept):
    body = {"username": "alice", "password": "alviar-demo", "device_name": given}
    answer = api.post("/api/auth/login/", body)
    assert (answer.status_code, answer.data["session"]["device_name"]) == (200, kept)
    sid = alice_api.started.user_session.session_token
    assert alice_api.patch(f"{SESSIONS}{sid}/", {"device_name": given}).json()["device_name"] == kept


@pytest.mark.parametrize("given", ["", "\u202e", None, 5, [], "x" * 100_000])
def test_a_label_never_refuses_a_login(api, alice, given):
    body = {"username": "alice", "password": "alviar-demo", "device_name": given, "device_token": None}
    assert api.post("/api/auth/login/", {**body, "remember_me": None, "device_fingerprint": None}).status_code == 200


def test_an_ended_session_cannot_be_named(sign_in, alice):
    one, other = sign_in(alice), sign_in(alice)
    sid = other.started.user_session.session_token
    other.post(f"{SESSIONS}{sid}/revoke/")
    envelope(one.patch(f"{SESSIONS}{sid}/", {"device_name": "x"}), 404, "not_found")


def test_one_device_has_one_session(sign_in, alice, bob):
    first = sign_in(alice, device_fingerprint="tablet")
    second = sign_in(alice, device_fingerprint="tablet")
    stranger = sign_in(bob, device_fingerprint="tablet")
    envelope(first.get(SESSIONS), 401, "token_not_valid", "session_revoked")
    assert len(second.get(SESSIONS).json()["results"]) == 1
    assert stranger.get(SESSIONS).status_code == 200
    assert UserSession.objects.get(pk=first.started.user_session.pk).end_reason == "replaced"


def test_a_session_that_ran_out_makes_room_for_its_device(sign_in, alice):
    sign_in(alice, device_fingerprint="tablet")
    with later(days=9):
        sign_in(alice, device_fingerprint="tablet")
        assert set(UserSession.objects.values_list("is_active", "end_reason")) == {(False, "expired"), (True, "")}


def test_without_a_fingerprint_a_login_adds_a_session(sign_in, alice):
    sign_in(alice)
    assert len(sign_in(alice).get(SESSIONS).json()["results"]) == 2


def test_a_changed_fingerprint_is_recorded_and_refuses_nothing(sign_in, alice):
    client = sign_in(alice, device_fingerprint="before-the-update")
    assert client.get(SESSIONS, headers={"Device-Fingerprint": "after-the-update-x"}).status_code == 200
    assert client.get(SESSIONS).json()["results"][0]["device_fingerprint"] == "date-x"
    client.get(SESSIONS, headers={"Device-Fingerprint": "z" * 300})
    assert UserSession.objects.get().device_fingerprint == "z" * 255


def test_a_refresh_records_a_changed_fingerprint_too(api, sign_in, alice):
    started = sign_in(alice, device_fingerprint="before").started
    api.post(REFRESH, {"refresh": started.tokens.refresh}, headers={"Device-Fingerprint": "after"})
    assert UserSession.objects.get().device_fingerprint == "after"


def test_the_fingerprint_of_another_session_is_not_taken_over(sign_in, alice):
    phone, tablet = sign_in(alice, device_fingerprint="phone"), sign_in(alice, device_fingerprint="tablet")
    for _ in range(3):
        assert tablet.get(SESSIONS, headers={"Device-Fingerprint": "phone"}).status_code == 200
    assert phone.get(SESSIONS).status_code == 200
    assert set(UserSession.objects.values_list("device_fingerprint", flat=True)) == {"phone", "tablet"}


@pytest.fixture
def new_devices():
    seen = []

    def receive(kind, session_id, **kwargs):
        if kind == "new_device":
            seen.append(session_id)

    security_event.connect(receive)
    yield seen
    security_event.disconnect(receive)


def test_a_device_not_seen_before_is_told_once(alice, new_devices):
    def login(fingerprint="", user_agent="okhttp/4.12.0"):
        return lifecycle.start(
            user=alice, client=Client(user_agent=user_agent), device_fingerprint=fingerprint
        ).user_session.session_token

    login("phone")
    login("phone")
    assert new_devices == []  # the first device of all is no news
    tablet = login("tablet")
    login("tablet")
    login()  # the same program as before
    assert new_devices == [tablet]
    browser = login(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    assert new_devices == [tablet, browser]


def test_times_are_utc_with_milliseconds(alice_api):
    row = alice_api.get(SESSIONS).json()["results"][0]
    assert row["created_at"].endswith("Z")
    assert len(row["created_at"]) == len("2026-11-21T10:00:00.123Z")
    assert row["created_at"][:4] == str(timezone.now().year)
