"""A telephone number is proved by SMS: who gets one, how many, and what a code is worth."""

import json
import re
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import time_machine
from django.db import IntegrityError, transaction

from users.factors.models import Challenge, SmsBudget
from users.models import SecurityEvent, User
from users.phone import numbers, senders, tasks

pytestmark = pytest.mark.django_db
URL, CONFIRM = "/api/users/me/phone/", "/api/users/me/phone/confirm/"
MOBILE = "+33612345678"
NONE = dict.fromkeys(("number_minute", "number", "account", "address", "country", "all", "notice"), "0")


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.SMS_URL = f"file://{tmp_path}/sms"
    return tmp_path / "sms"


def sent(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))] if folder.exists() else []


def code_in(sms):
    return re.search(r"\b\d{6}\b", sms["text"])[0]


@pytest.fixture
def asked(alice_api, run_tasks, folder):
    """A challenge and the code that was sent for it."""
    answer = alice_api.post(URL, {"phone_number": "+33 6 12 34 56 78"})
    assert answer.status_code == 200, answer.data
    run_tasks()
    return answer.data["challenge"], code_in(sent(folder)[-1])


def refused(answer, code, status=400):
    assert (answer.status_code, answer.data["code"]) == (status, code), answer.data
    return answer.data


def wrong(code):
    return "000000" if code != "000000" else "111111"


def test_the_answer_says_when_to_ask_again(alice_api, run_tasks, folder):
    answer = alice_api.post(URL, {"phone_number": MOBILE})
    assert (set(answer.data), answer.data["expires_in"], answer.data["resend_after"]) == (
        {"challenge", "expires_in", "resend_after"}, 600, 60,
    )  # fmt: skip
    run_tasks()
    [sms] = sent(folder)
    assert set(sms) == {"to", "text"}
    assert sms["to"] == MOBILE
    assert User.objects.get().phone_number == ""


def test_the_code_proves_the_number(asked, alice_api, run_tasks, mailoutbox):
    challenge, code = asked
    answer = alice_api.post(CONFIRM, {"challenge": challenge, "code": code})
    assert answer.status_code == 200
    assert (answer.data["phone_number"], answer.data["phone_verified"]) == (MOBILE, True)
    assert SecurityEvent.objects.get(kind="phone_changed").detail == {"number": "+33…78"}
    run_tasks()
    assert "The phone number of your account was changed · Alviar" in [mail.subject for mail in mailoutbox]


def test_neither_challenge_nor_code_rests_in_clear(asked):
    from django_tasks_db.models import DBTaskResult

    challenge, code = asked
    row = Challenge.objects.get()
    assert challenge not in (row.digest, str(row.data))
    assert code not in row.code + str(row.data)
    assert not any(code in str(task.args_kwargs) for task in DBTaskResult.objects.all())


def test_it_counts_once_and_five_times_wrong(asked, alice_api):
    challenge, code = asked
    assert alice_api.post(CONFIRM, {"challenge": challenge, "code": code}).status_code == 200
    refused(alice_api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_or_expired_token")


def test_five_tries(asked, alice_api):
    challenge, code = asked
    for _ in range(5):
        refused(alice_api.post(CONFIRM, {"challenge": challenge, "code": wrong(code)}), "invalid_code")
    refused(alice_api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_or_expired_token")
    assert User.objects.get().phone_verified is False


def test_ten_minutes(alice, sign_in, run_tasks, folder):
    with time_machine.travel(datetime(2026, 11, 21, 10, tzinfo=UTC), tick=False) as clock:
        client = sign_in(alice)
        challenge = client.post(URL, {"phone_number": MOBILE}).data["challenge"]
        run_tasks()
        clock.shift(601)
        body = {"challenge": challenge, "code": code_in(sent(folder)[0])}
        refused(client.post(CONFIRM, body), "invalid_or_expired_token")


def test_the_challenge_of_somebody_else_proves_nothing(asked, bob_api):
    challenge, code = asked
    refused(bob_api.post(CONFIRM, {"challenge": challenge, "code": code}), "invalid_or_expired_token")


def test_an_older_code_stays_good(asked, alice_api, settings):
    settings.SMS_BUDGETS = NONE
    challenge, code = asked
    assert alice_api.post(URL, {"phone_number": MOBILE}).status_code == 200
    assert alice_api.post(CONFIRM, {"challenge": challenge, "code": code}).status_code == 200


def test_a_number_that_another_account_proved_is_refused_to_who_proved_it_too(asked, alice_api, person):
    person("dora", phone_number=MOBILE, phone_verified=True)
    challenge, code = asked
    said = refused(alice_api.post(CONFIRM, {"challenge": challenge, "code": code}), "validation_error")
    assert said["errors"]["phone_number"][0]["code"] == "unique"
    assert User.objects.filter(phone_verified=True).count() == 1


def test_a_number_that_nobody_proved_may_stand_in_several_accounts(asked, alice_api, person, bob):
    person("dora", phone_number=MOBILE)
    challenge, code = asked
    assert alice_api.post(CONFIRM, {"challenge": challenge, "code": code}).status_code == 200
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(username="dora").update(phone_verified=True)


def test_another_number_by_patch_is_an_unverified_one(asked, alice_api):
    challenge, code = asked
    alice_api.post(CONFIRM, {"challenge": challenge, "code": code})
    assert alice_api.patch("/api/users/me/", {"phone_number": MOBILE}).data["phone_verified"] is True
    assert alice_api.patch("/api/users/me/", {"phone_number": "+33687654321"}).data["phone_verified"] is False


# --- Which numbers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["+33612345678", "+213551234567", "+447400123456", "+12015550123", "+4915123456789"])
def test_mobiles_get_one(alice_api, number):
    assert alice_api.post(URL, {"phone_number": number}).status_code == 200


@pytest.mark.parametrize(
    "number",
    ["+33142685300", "+33899123456", "+33800123456", "+882130000000", "+18005550199", "+4432", "+33", "0612345678", "x",
     "+999612345678", "+33612345678901234", "tel:+33142685300"],
)  # fmt: skip
def test_fixed_premium_and_impossible_numbers_get_none(alice_api, run_tasks, folder, number):
    said = refused(alice_api.post(URL, {"phone_number": number}), "validation_error")
    assert said["errors"]["phone_number"][0]["code"] == "not_mobile"
    run_tasks()
    assert sent(folder) == []
    assert not SmsBudget.objects.exists()


@pytest.mark.parametrize("number", [None, "", 33612345678, []])
def test_what_is_no_number(alice_api, number):
    refused(alice_api.post(URL, {"phone_number": number}), "validation_error")


@pytest.mark.parametrize("body", [{}, {"code": "123456"}, {"challenge": "x"}, {"challenge": 5, "code": "123456"}])
def test_what_is_no_answer(alice_api, body):
    refused(alice_api.post(CONFIRM, body), "validation_error")
    refused(alice_api.post(CONFIRM, {"challenge": "x", "code": "123456"}), "invalid_or_expired_token")


def test_only_the_countries_that_are_served(alice_api, settings):
    settings.SMS_COUNTRIES = ["DZ"]
    said = refused(alice_api.post(URL, {"phone_number": MOBILE}), "validation_error")
    assert said["errors"]["phone_number"][0]["code"] == "country_not_served"
    assert alice_api.post(URL, {"phone_number": "+213551234567"}).status_code == 200


# --- Budgets ----------------------------------------------------------------------------------------------------------


def test_one_a_minute_for_a_number_then_again(alice, sign_in, folder, run_tasks):
    with time_machine.travel(datetime(2026, 11, 21, 10, tzinfo=UTC), tick=False) as clock:
        client = sign_in(alice)
        assert client.post(URL, {"phone_number": MOBILE}).status_code == 200
        answer = client.post(URL, {"phone_number": MOBILE})
        said = refused(answer, "sms_refused", 429)
        assert (said["action"], said["retry_after"], answer["Retry-After"]) == ("wait", 60, "60")
        clock.shift(60)
        assert client.post(URL, {"phone_number": MOBILE}).status_code == 200
    run_tasks()
    assert len(sent(folder)) == 2


@pytest.mark.parametrize("name", ["number_minute", "number", "account", "address", "country", "all"])
def test_each_budget_refuses_and_a_refusal_costs_no_other(alice_api, settings, name):
    settings.SMS_BUDGETS = {**NONE, name: "2/day"}
    assert [alice_api.post(URL, {"phone_number": MOBILE}).status_code for _ in range(3)] == [200, 200, 429]
    settings.SMS_BUDGETS = {**NONE, "all": "5/day", "number": "9/day", name: "2/day"}
    before = {row.key: row.count for row in SmsBudget.objects.all()}
    refused(alice_api.post(URL, {"phone_number": MOBILE}), "sms_refused", 429)
    assert {row.key: row.count for row in SmsBudget.objects.all()} == before


def test_no_budget_names_a_number_or_an_address(alice_api):
    alice_api.post(URL, {"phone_number": MOBILE})
    assert not any("612345678" in row.key or "127.0.0.1" in row.key for row in SmsBudget.objects.all())


def test_without_a_sender_nothing_leaves(alice_api, settings):
    settings.SMS_URL = ""
    assert refused(alice_api.post(URL, {"phone_number": MOBILE}), "sms_refused", 429)["reason"] == "not_configured"


# --- Notices ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "count"),
    [({"sms_notifications": True, "phone_verified": True}, 1),
     ({"sms_notifications": False, "phone_verified": True}, 0),
     ({"sms_notifications": True, "phone_verified": False}, 0)],
)  # fmt: skip
def test_security_notices_go_to_a_proven_number_of_who_wants_them(alice, run_tasks, folder, wishes, count):
    from users.factors import events

    User.objects.filter(pk=alice.pk).update(phone_number=MOBILE, **wishes)
    events.tell("passkey_added", user_id=alice.pk, client=None)
    run_tasks()
    notices = sent(folder)
    assert len(notices) == count
    if notices:
        assert (notices[0]["to"], "passkey added" in notices[0]["text"]) == (MOBILE, True)


def test_notices_speak_the_reader_s_language(alice, folder):
    User.objects.update(phone_number=MOBILE, sms_notifications=True, phone_verified=True, language="fr")
    tasks.send_notice.func(alice.pk, "password_changed")
    assert "mot de passe" in sent(folder)[0]["text"]


def test_notices_past_their_budget_are_dropped(alice, folder, settings):
    User.objects.update(phone_number=MOBILE, sms_notifications=True, phone_verified=True)
    settings.SMS_BUDGETS = {**NONE, "notice": "1/day"}
    for _ in range(3):
        tasks.send_notice.func(alice.pk, "password_changed")
    assert len(sent(folder)) == 1


# --- Senders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gateway():
    seen, status = [], [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            seen.append((self.command, self.path, body, dict(self.headers)))
            self.send_response(status[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", seen, status
    server.shutdown()
    server.server_close()


def test_a_gateway_by_get(gateway, settings):
    host, seen, _status = gateway
    settings.SMS_TOKEN = "t0ken"
    senders.of(f"http://{host}/send?to={{to}}&text={{text}}").send(MOBILE, "é & {to} 100%")
    command, path, _body, headers = seen[0]
    assert (command, path) == ("GET", "/send?to=%2B33612345678&text=%C3%A9%20%26%20%7Bto%7D%20100%25")
    assert headers["Authorization"] == "Bearer t0ken"


def test_a_gateway_by_json_and_by_form(gateway, settings):
    host, seen, _status = gateway
    settings.SMS_BODY = '{"recipient": "{to}", "message": "{text}"}'
    senders.of(f"http://me:pass@{host}/send").send(MOBILE, 'say "hi"\n')
    assert json.loads(seen[0][2]) == {"recipient": MOBILE, "message": 'say "hi"\n'}
    assert seen[0][3]["Authorization"].startswith("Basic ")
    settings.SMS_BODY = "to={to}&text={text}"
    senders.of(f"http://{host}/send").send(MOBILE, "a&b")
    assert seen[1][2] == "to=%2B33612345678&text=a%26b"


@pytest.mark.parametrize(
    ("status", "raised"), [(500, senders.SmsNotSent), (429, senders.SmsNotSent), (400, senders.SmsRejected)]
)
def test_a_gateway_that_refuses(gateway, status, raised):
    host, _seen, statuses = gateway
    statuses[0] = status
    with pytest.raises(raised) as caught:
        senders.of(f"http://{host}/?to={{to}}&text={{text}}").send(MOBILE, "secret")
    assert "secret" not in str(caught.value)


def test_a_gateway_that_is_away():
    with pytest.raises(senders.SmsNotSent):
        senders.of("http://127.0.0.1:9/?to={to}&text={text}").send(MOBILE, "x")


def test_twilio(gateway, monkeypatch):
    host, seen, _status = gateway
    monkeypatch.setattr(senders.Twilio, "HOST", f"http://{host}")
    senders.of("twilio://AC1:secret@+15005550006").send(MOBILE, "hello")
    command, path, body, headers = seen[0]
    assert (command, path) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert body == "To=%2B33612345678&From=%2B15005550006&Body=hello"
    assert headers["Authorization"].startswith("Basic ")


def test_the_console(capsys):
    senders.of("console://").send(MOBILE, "hello")
    assert "hello" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["ftp://x", "file://", "file://host/x", "twilio://x", "http://gateway/", "nonsense"])
def test_what_is_no_sender(url):
    with pytest.raises(ValueError, match=r"\w"):
        senders.of(url)


def test_files_are_whole_and_private(folder):
    senders.of(f"file://{folder}").send(MOBILE, "é")
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("number", "shown"), [("+33612345678", "+33…78"), ("", ""), ("+1", "")])
def test_a_masked_number(number, shown):
    assert numbers.masked(number) == shown
