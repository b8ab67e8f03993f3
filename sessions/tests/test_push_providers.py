"""FCM, APNs and Expo: tokens, headers and answers, against stand-ins that check them."""

import json
import ssl
import time

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from prometheus_client import REGISTRY

from sessions.models import PushRegistration
from sessions.push import apns, delivery, expo, fcm, http, providers, registrations, vapid, webpush
from sessions.push.provider import Kind, Push
from tests.push_services import AppleServer, Google, service

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh(settings):
    settings.PUSH_CONCURRENCY = 1
    settings.PUSH_TIMEOUT = 3
    delivery.breaker.clear()
    http.pool.cache_clear()
    yield
    http.pool.cache_clear()


@pytest.fixture
def device(alice, sign_in):
    """Register a device of alice's and return what a push to it needs."""

    def device(provider, token, **fields):
        user_session = sign_in(alice).started.user_session
        row = PushRegistration.objects.create(
            user_session=user_session, user=alice, provider=provider, token=token, digest=token,
            updated_at=user_session.created_at, **fields,
        )  # fmt: skip
        return {"registration_id": row.pk, "provider": provider, "token": token, **fields}

    return device


def message(device):
    words = {"title": "Garden", "body": "bob: hi"}
    data = {"conversation_uuid": "c1", "seq": 7, "badge": 3, "sender": {"id": 2}, **words}
    return Push(**device, **words, data=data, collapse="c1", urgent=True)


def clearing(device):
    return Push(**device, data={"conversation_uuid": "c1", "seq": 7, "badge": 0, "seen": True}, collapse="c1")


def kinds(*pushes):
    return [outcome.kind for outcome in delivery.send(list(pushes))]


# --- FCM --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def google(settings, monkeypatch):
    running = Google()
    settings.FCM_CREDENTIALS, settings.FCM_URL = running.account, running.service.url
    monkeypatch.setitem(providers.PROVIDERS, "fcm", fcm.Fcm())
    yield running
    running.service.stop()


def test_fcm_gets_a_message_under_a_token_of_the_service_account(google, device):
    assert kinds(message(device("fcm", "t1")), message(device("fcm", "t2"))) == [Kind.SENT, Kind.SENT]
    assert len(google.given) == 1  # one token for both
    first = google.messages[0]
    assert first["token"] == "t1"
    assert first["notification"] == {"title": "Garden", "body": "bob: hi"}
    assert first["data"]["seq"] == "7"
    assert json.loads(first["data"]["sender"]) == {"id": 2}
    assert first["android"]["collapse_key"] == first["android"]["notification"]["tag"] == "c1"
    assert first["apns"]["payload"]["aps"]["badge"] == 3


def test_fcm_clears_in_silence(google, device):
    assert kinds(clearing(device("fcm", "t1"))) == [Kind.SENT]
    (sent,) = google.messages
    assert "notification" not in sent
    assert sent["data"]["seen"] == "true"
    assert sent["apns"]["headers"]["apns-push-type"] == "background"


def counted(provider, outcome):
    return REGISTRY.get_sample_value("alviar_pushes_total", {"provider": provider, "outcome": outcome}) or 0


def test_fcm_answers_are_understood(google, device):
    google.answers = {
        "gone": google.error(404, "UNREGISTERED"),
        "other": google.error(403, "SENDER_ID_MISMATCH"),
        "quota": google.error(429, "QUOTA_EXCEEDED", **{"Retry-After": "60"}),
        "broken": google.error(500, "INTERNAL"),
        "wrong": google.error(400, "INVALID_ARGUMENT"),
    }
    rows = {name: device("fcm", name) for name in google.answers}
    before = {kind: counted("fcm", kind) for kind in ("gone", "later", "failed")}
    outcomes = dict(zip(rows, delivery.send([message(row) for row in rows.values()]), strict=True))
    assert {name: outcome.kind for name, outcome in outcomes.items()} == {
        "gone": Kind.GONE,
        "other": Kind.GONE,
        "quota": Kind.LATER,
        "broken": Kind.LATER,
        "wrong": Kind.FAILED,
    }
    assert outcomes["quota"].retry_after == 60
    assert set(PushRegistration.objects.values_list("token", flat=True)) == {"quota", "broken", "wrong"}
    assert [counted("fcm", kind) - before[kind] for kind in before] == [2, 2, 1]


def test_fcm_asks_for_another_token_once_where_one_was_withdrawn(google, device):
    row = device("fcm", "t1")
    assert kinds(message(row)) == [Kind.SENT]
    google.given.append("another one")
    assert kinds(message(row)) == [Kind.SENT]
    assert len(google.given) == 3


# --- Expo -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def expo_service(settings):
    with service() as running:
        settings.EXPO_URL, settings.EXPO_ACCESS_TOKEN = running.url, "expo-secret"
        yield running


def test_expo_gets_many_in_one_request_and_each_ticket_counts(expo_service, device):
    tickets = [
        {"status": "ok", "id": "1"},
        {"status": "error", "message": "no", "details": {"error": "DeviceNotRegistered"}},
        {"status": "error", "message": "slow", "details": {"error": "MessageRateExceeded"}},
        {"status": "error", "message": "?", "details": {"error": "InvalidCredentials"}},
    ]
    expo_service.reply = lambda asked: (200, {}, json.dumps({"data": tickets}).encode())
    rows = [device("expo", f"ExponentPushToken[{n}]") for n in range(4)]
    assert kinds(*map(message, rows)) == [Kind.SENT, Kind.GONE, Kind.LATER, Kind.FAILED]
    (asked,) = expo_service.asked
    assert asked.headers["authorization"] == "Bearer expo-secret"
    assert asked.path == "/--/api/v2/push/send"
    assert [one["to"] for one in asked.json] == [row["token"] for row in rows]
    assert asked.json[0]["data"]["conversation_uuid"] == "c1"
    assert PushRegistration.objects.count() == 3


def test_expo_says_later_which_devices_are_gone(expo_service, device, run_tasks):
    rows = [device("expo", f"ExponentPushToken[{n}]") for n in range(3)]
    for row in rows:
        digest = registrations.digest_of("expo", row["token"])
        PushRegistration.objects.filter(pk=row["registration_id"]).update(digest=digest)
    tickets = [{"status": "ok", "id": f"ticket-{n}"} for n in range(3)]
    gone = {"status": "error", "message": "no", "details": {"error": "DeviceNotRegistered"}}
    answers = {
        "/--/api/v2/push/send": {"data": tickets},
        "/--/api/v2/push/getReceipts": {"data": {"ticket-0": {"status": "ok"}, "ticket-1": gone}},
    }
    expo_service.reply = lambda asked: (200, {}, json.dumps(answers[asked.path]).encode())
    assert kinds(*map(message, rows)) == [Kind.SENT] * 3
    assert run_tasks() == 0  # not yet
    with time_machine.travel(timezone.now() + expo.RECEIPTS_AFTER, tick=True):
        assert run_tasks() == 1
    assert expo_service.asked[-1].json == {"ids": ["ticket-0", "ticket-1", "ticket-2"]}
    assert set(PushRegistration.objects.values_list("token", flat=True)) == {rows[0]["token"], rows[2]["token"]}


def test_expo_leaves_out_who_signed_out_a_moment_ago(expo_service, device):
    expo_service.reply = lambda asked: (200, {}, json.dumps({"data": [{"status": "ok"}] * len(asked.json)}).encode())
    rows = [device("expo", f"ExponentPushToken[{n}]") for n in range(3)]
    PushRegistration.objects.filter(pk=rows[1]["registration_id"]).delete()
    assert kinds(*map(message, rows)) == [Kind.SENT, Kind.OVER, Kind.SENT]
    (asked,) = expo_service.asked
    assert [one["to"] for one in asked.json] == [rows[0]["token"], rows[2]["token"]]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [((429, {}, b""), Kind.LATER), ((503, {}, b"{}"), Kind.LATER), ((404, {}, b""), Kind.FAILED),
     ((200, {}, b"nonsense"), Kind.FAILED), ((200, {}, b'{"data": []}'), Kind.FAILED), ((400, {}, b""), Kind.FAILED)],
)  # fmt: skip
def test_what_expo_says_of_the_whole_forgets_no_device(expo_service, device, answer, kind):
    expo_service.reply = lambda asked: answer
    assert kinds(message(device("expo", "ExponentPushToken[a]"))) == [kind]
    assert PushRegistration.objects.exists()


# --- APNs -------------------------------------------------------------------------------------------------------------

APNS_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def apple(settings, monkeypatch, tmp_path):
    pem = APNS_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    running = AppleServer(tmp_path)
    settings.APNS_KEY, settings.APNS_KEY_ID, settings.APNS_TEAM_ID = pem.decode(), "KEY1234567", "TEAM123456"
    settings.APNS_TOPIC = "com.example.garden"
    settings.APNS_URL = running.url
    trusting = ssl.create_default_context(cafile=running.certificate)
    monkeypatch.setattr(http.httpx, "create_ssl_context", lambda: trusting)
    monkeypatch.setitem(providers.PROVIDERS, "apns", apns.Apns())
    yield running
    http.pool.cache_clear()
    running.stop()


def check_provider_token(asked):
    """As Apple does: ES256, our key's id, our team, not older than an hour."""
    scheme, _space, token = asked.headers["authorization"].partition(" ")
    assert scheme == "bearer"
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"}
    claims = jwt.decode(token, APNS_KEY.public_key(), algorithms=["ES256"])
    assert claims["iss"] == "TEAM123456"
    assert abs(claims["iat"] - time.time()) < 3_600
    return token


def test_apns_gets_an_alert_over_http_2(apple, device):
    rows = [device("apns", "ab" * 32), device("apns", "cd" * 32)]
    assert kinds(*map(message, rows)) == [Kind.SENT, Kind.SENT]
    first, second = apple.asked
    assert first.path == f"/3/device/{'ab' * 32}"
    assert check_provider_token(first) == check_provider_token(second)  # renewed rarely, as Apple demands
    assert first.headers["apns-topic"] == "com.example.garden"
    assert (first.headers["apns-push-type"], first.headers["apns-priority"]) == ("alert", "10")
    assert first.headers["apns-collapse-id"] == "c1"
    assert int(first.headers["apns-expiration"]) > time.time()
    aps = first.json["aps"]
    assert aps["alert"] == {"title": "Garden", "body": "bob: hi"}
    assert (aps["badge"], aps["mutable-content"], aps["thread-id"]) == (3, 1, "c1")
    assert (first.json["conversation_uuid"], first.json["seq"]) == ("c1", 7)
    assert apple.connections == 1


def test_apns_clears_in_silence(apple, device):
    assert kinds(clearing(device("apns", "ab" * 32))) == [Kind.SENT]
    (asked,) = apple.asked
    assert (asked.headers["apns-push-type"], asked.headers["apns-priority"]) == ("background", "5")
    assert asked.json["aps"] == {"content-available": 1}


def test_apns_answers_are_understood(apple, device):
    answers = {
        "aa": (410, "Unregistered", Kind.GONE),
        "bb": (400, "BadDeviceToken", Kind.GONE),
        "cc": (400, "DeviceTokenNotForTopic", Kind.GONE),
        "dd": (429, "TooManyRequests", Kind.LATER),
        "ee": (500, "InternalServerError", Kind.LATER),
        "ff": (403, "InvalidProviderToken", Kind.FAILED),
    }
    apple.answers = {token * 32: (status, reason) for token, (status, reason, _kind) in answers.items()}
    rows = [device("apns", token * 32) for token in answers]
    assert kinds(*map(message, rows)) == [kind for _status, _reason, kind in answers.values()]
    assert PushRegistration.objects.count() == 3


def test_apns_asks_nothing_for_a_session_that_ended(apple, device):
    row, other = device("apns", "ab" * 32), device("apns", "cd" * 32)
    PushRegistration.objects.filter(pk=row["registration_id"]).delete()
    assert kinds(message(row), message(other)) == [Kind.OVER, Kind.SENT]
    assert [asked.path for asked in apple.asked] == [f"/3/device/{'cd' * 32}"]


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_what_is_not_configured_says_so(settings):
    assert not fcm.Fcm().is_configured()
    assert not apns.Apns().is_configured()
    settings.EXPO_PUSH = False
    assert not expo.Expo().is_configured()
    settings.APNS_KEY_ID = "x"
    with pytest.raises(ImproperlyConfigured):
        apns.key()


# --- Answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), (" 0 ", 0), ("9999999", http.RETRY_AFTER_MAX), ("soon", None), ("", None), ("-5", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)  # fmt: skip
def test_retry_after_is_read_and_bounded(text, seconds):
    assert http.retry_after_s(text) == seconds


def test_the_longest_payload_still_fits_a_record():
    browser_key = ec.generate_private_key(ec.SECP256R1())
    point = browser_key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    body = webpush.encrypt(b"x" * webpush.PAYLOAD_BYTES, p256dh=vapid.b64(point), auth=vapid.b64(b"0" * 16))
    assert len(body) <= 4_096
