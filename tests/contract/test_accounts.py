"""Contract §2 from outside."""

import threading
import uuid

import httpx
import pytest

from tests.contract.conftest import PASSWORD, Person, Server, assert_envelope, http, make_person

pytestmark = pytest.mark.live

USER_KEYS = {
    "id", "username", "email", "email_verified", "phone_number", "phone_verified", "first_name", "last_name",
    "language", "timezone", "email_notifications", "sms_notifications", "push_notifications", "date_joined",
    "last_login",
}  # fmt: skip
NEW = "another battery staple 7"


def post(server: Server, path: str, body: object, **kw: object) -> httpx.Response:
    return http.post(f"{server.base}/api/{path}", json=body, **kw)  # type: ignore[arg-type]


def register(server: Server, **fields: object) -> httpx.Response:
    name = f"n{uuid.uuid4().hex[:10]}"
    body = {
        "username": name,
        "email": f"{name}@example.com",
        "password": PASSWORD,
        "password_confirm": PASSWORD,
        **fields,
    }
    return post(server, "auth/register/", body)


def login(server: Server, username: str, password: str = PASSWORD, **extra: object) -> httpx.Response:
    return post(server, "auth/login/", {"username": username, "password": password, **extra})


def test_registration_answers_the_profile_and_mails_a_link(server: Server) -> None:
    answer = register(server)
    assert answer.status_code == 201
    user = answer.json()["user"]
    assert set(user) == USER_KEYS
    assert (user["language"], user["timezone"]) == ("fr", "Africa/Algiers")
    assert (user["email_notifications"], user["sms_notifications"], user["push_notifications"]) == (True, False, True)
    assert user["email_verified"] is False
    token = server.mailed_token(user["email"], "/verify-email")
    for _ in range(2):  # the same token again by a verified address: 200
        assert post(server, "auth/verify-email/", {"token": token}).status_code == 200
    assert login(server, user["email"].upper()).json()["user"]["email_verified"] is True


def test_taken_names_and_addresses_are_unique_errors(server: Server, alice: Person) -> None:
    for fields, field in (
        ({"username": alice.username.upper()}, "username"),
        ({"email": alice.email.upper()}, "email"),
    ):
        body = assert_envelope(register(server, **fields), 400, "validation_error")
        assert body["errors"][field][0]["code"] == "unique"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "zero\u200bwidth"),
        ("username", "p\u0430ypal"),  # a Cyrillic а among Latin letters
        ("username", "bidi\u202ename"),
        ("username", "with\x00nul"),
        ("username", ""),
        ("username", None),
        ("username", 7),
        ("username", ["x"]),
        ("username", {"a": 1}),
        ("username", "x" * 100_000),
        ("email", "nonsense"),
        ("email", "a@b\x00.com"),
        ("email", "x" * 300 + "@example.com"),
        ("password", "short"),
        ("password", "password123"),
        ("password", "12345678901"),
        ("password", "x" * 129),
        ("password_confirm", "different"),
    ],
)
def test_bad_registrations_are_validation_errors(server: Server, field: str, value: object) -> None:
    body = assert_envelope(register(server, **{field: value}), 400, "validation_error")
    assert body["errors"]


def test_preferences_never_refuse_a_registration(server: Server) -> None:
    for field, value in (("language", "klingon"), ("language", ""), ("timezone", "Mars/Olympus"), ("timezone", None)):
        assert register(server, **{field: value}).status_code == 201


def test_look_alikes_are_one_name(server: Server) -> None:
    tail = uuid.uuid4().hex[:8]
    assert register(server, username="ﬁona" + tail).json()["user"]["username"] == "fiona" + tail
    body = assert_envelope(register(server, username="FIONA" + tail), 400, "validation_error")
    assert body["errors"]["username"][0]["code"] == "unique"
    assert login(server, "ﬁONA" + tail).status_code == 200


def test_privileges_cannot_be_registered_or_patched(server: Server) -> None:
    answer = register(server, is_staff=True, is_superuser=True, email_verified=True, id=1, groups=[1])
    assert answer.json()["user"]["email_verified"] is False
    name = answer.json()["user"]["username"]
    person = Person(server, name, "")
    person.login = person.sign_in()
    patched = person.call("PATCH", "users/me/", {"email_verified": True, "email": "x@y.z", "id": 1, "is_staff": True})
    assert patched.status_code == 200
    assert patched.json() == {**person.get("users/me/").json()}
    assert patched.json()["email_verified"] is False


def test_the_profile_reads_and_changes(alice: Person) -> None:
    assert set(alice.get("users/me/").json()) == USER_KEYS
    answer = alice.call("PATCH", "users/me/", {"first_name": "Alice", "language": "ar", "timezone": "Europe/Paris"})
    assert answer.status_code == 200
    assert (answer.json()["first_name"], answer.json()["language"]) == ("Alice", "ar")
    assert_envelope(alice.call("PATCH", "users/me/", {"language": "xx"}), 400, "validation_error")
    assert_envelope(alice.call("PATCH", "users/me/", {"email_notifications": "perhaps"}), 400, "validation_error")
    assert alice.call("PATCH", "users/me/", {"first_name": None}).json()["first_name"] == "Alice"  # null: absent


@pytest.mark.parametrize("known", [True, False])
def test_five_failures_lock_for_half_an_hour_known_or_not(server: Server, alice: Person, known: bool) -> None:
    name = alice.username if known else "ghost" + uuid.uuid4().hex[:8]
    for _ in range(5):
        assert_envelope(login(server, name, "wrong"), 401, "no_active_account", action="none")
    for password in ("wrong", PASSWORD):
        body = assert_envelope(login(server, name, password), 429, "account_locked", action="wait")
        assert body["locked_until"].endswith("Z")
        assert 1_790 <= body["retry_after"] <= 1_800
    if known:
        assert_envelope(login(server, alice.email, PASSWORD), 429, "account_locked")  # one counter for both
        # Refresh of living sessions goes on, and so does a remembered device.
        assert post(server, "auth/token/refresh/", {"refresh": alice.login["refresh"]}).status_code == 200
        assert login(server, name, device_token=alice.login["device_token"]).status_code == 200


def test_success_resets_the_counter(server: Server, alice: Person) -> None:
    for _ in range(2):
        for _ in range(4):
            assert login(server, alice.username, "wrong").status_code == 401
        assert login(server, alice.username).status_code == 200


def test_forty_parallel_guesses_get_five_answers(server: Server, alice: Person) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(login(server, alice.username, "wrong").status_code))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count(401) == 5
    assert set(answers) <= {401, 429}


def test_a_fingerprint_over_255_characters_is_refused_at_login_and_cut_in_the_header(
    server: Server, alice: Person
) -> None:
    assert_envelope(login(server, alice.username, device_fingerprint="x" * 256), 400, "validation_error")
    assert alice.get("users/me/", headers={"Device-Fingerprint": "y" * 300}).status_code == 200
    session = alice.get("users/sessions/").json()["results"][0]
    assert session["device_fingerprint"] == "yyyyyy"


def test_password_reset_says_the_same_to_everybody_and_works_once(server: Server, alice: Person) -> None:
    known = post(server, "auth/password-reset/", {"email": alice.email.upper()})
    unknown = post(server, "auth/password-reset/", {"email": "nobody@example.org"})
    assert known.status_code == unknown.status_code == 200
    assert set(known.json()) == {"detail"}
    assert known.json() == unknown.json()
    token = server.mailed_token(alice.email, "/reset-password")
    for path in (f"/reset-password/?token={token}", "/reset-password/"):  # GET never spends
        assert http.get(server.base + path).status_code == 200
    for _ in range(5):
        login(server, alice.username, "wrong")
    body = {"token": token, "new_password": NEW, "new_password_confirm": NEW}
    mismatch = post(server, "auth/password-reset/confirm/", {**body, "new_password_confirm": "x"})
    assert_envelope(mismatch, 400, "validation_error")
    weak = {"token": token, "new_password": "password", "new_password_confirm": "password"}
    assert_envelope(post(server, "auth/password-reset/confirm/", weak), 400, "validation_error")
    answer = post(server, "auth/password-reset/confirm/", body)
    assert answer.status_code == 200, answer.text
    assert "access" not in answer.json()
    assert_envelope(post(server, "auth/password-reset/confirm/", body), 400, "invalid_or_expired_token")
    assert_envelope(alice.get("users/me/"), 401, "token_not_valid", reason="session_revoked")
    assert login(server, alice.username, NEW).status_code == 200  # the lockout is cleared
    assert login(server, alice.username, PASSWORD).status_code == 401


def test_one_of_many_parallel_confirms_wins(server: Server, alice: Person) -> None:
    post(server, "auth/password-reset/", {"email": alice.email})
    token = server.mailed_token(alice.email, "/reset-password")
    codes: list[int] = []

    def confirm(index: int) -> None:
        password = f"{NEW}{index}"
        body = {"token": token, "new_password": password, "new_password_confirm": password}
        codes.append(post(server, "auth/password-reset/confirm/", body).status_code)

    threads = [threading.Thread(target=confirm, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] + [400] * 5


def test_a_newer_reset_voids_the_older(server: Server, alice: Person) -> None:
    post(server, "auth/password-reset/", {"email": alice.email})
    old = server.mailed_token(alice.email, "/reset-password")
    post(server, "auth/password-reset/", {"email": alice.email})
    new = server.mailed_token(alice.email, "/reset-password", count=2)
    assert old != new
    body = {"new_password": NEW, "new_password_confirm": NEW}
    refused = post(server, "auth/password-reset/confirm/", {"token": old, **body})
    assert_envelope(refused, 400, "invalid_or_expired_token")
    assert post(server, "auth/password-reset/confirm/", {"token": new, **body}).status_code == 200


def test_unknown_tokens_are_invalid_or_expired(server: Server) -> None:
    body = {"new_password": NEW, "new_password_confirm": NEW}
    confirm = post(server, "auth/password-reset/confirm/", {"token": str(uuid.uuid4()), **body})
    assert_envelope(confirm, 400, "invalid_or_expired_token", action="none")
    verify = post(server, "auth/verify-email/", {"token": str(uuid.uuid4())})
    assert_envelope(verify, 400, "invalid_or_expired_token", action="none")


def test_password_change_keeps_this_session_and_ends_the_others(server: Server, alice: Person) -> None:
    other = alice.sign_in()
    wrong = {"old_password": "wrong", "new_password": NEW, "new_password_confirm": NEW}
    body = assert_envelope(alice.post("auth/password-change/", wrong), 400, "validation_error")
    assert body["errors"]["old_password"][0]["code"] == "invalid_password"
    answer = alice.post("auth/password-change/", {**wrong, "old_password": PASSWORD})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    pair = answer.json()
    assert alice.get("users/me/", access=pair["access"]).status_code == 200
    assert alice.get("users/me/", access=other["access"]).status_code == 401
    assert post(server, "auth/token/refresh/", {"refresh": alice.login["refresh"]}).status_code == 401
    assert alice.get("users/me/", access=pair["access"]).status_code in (200, 401)
    assert login(server, alice.username, NEW).status_code == 200


def test_a_password_change_by_the_new_pair_lives_on(server: Server, alice: Person) -> None:
    pair = alice.post(
        "auth/password-change/", {"old_password": PASSWORD, "new_password": NEW, "new_password_confirm": NEW}
    ).json()
    refreshed = post(server, "auth/token/refresh/", {"refresh": pair["refresh"]})
    assert refreshed.status_code == 200
    assert alice.get("users/me/", access=refreshed.json()["access"]).status_code == 200


def test_email_change_waits_for_the_new_address(server: Server, alice: Person, bob: Person) -> None:
    new = f"new{uuid.uuid4().hex[:8]}@example.com"
    wrong = assert_envelope(
        alice.post("auth/email-change/", {"new_email": new, "password": "wrong"}), 400, "validation_error"
    )
    assert wrong["errors"]["password"][0]["code"] == "invalid_password"
    taken = alice.post("auth/email-change/", {"new_email": bob.email, "password": PASSWORD})
    answer = alice.post("auth/email-change/", {"new_email": new, "password": PASSWORD})
    assert answer.status_code == taken.status_code == 200
    assert answer.json() == taken.json()
    assert alice.get("users/me/").json()["email"] == alice.email
    token = server.mailed_token(new, "/verify-email")
    assert post(server, "auth/verify-email/", {"token": token}).status_code == 200
    me = alice.get("users/me/").json()
    assert (me["email"], me["email_verified"]) == (new, True)


def test_resend_says_the_same_to_everybody(server: Server, alice: Person) -> None:
    with_bearer = alice.post("auth/resend-verification/")
    known = post(server, "auth/resend-verification/", {"email": alice.email})
    unknown = post(server, "auth/resend-verification/", {"email": "nobody@example.org"})
    assert with_bearer.status_code == known.status_code == unknown.status_code == 200
    assert known.json() == unknown.json()
    assert set(with_bearer.json()) == {"detail"}


def test_closing_an_account_takes_the_password_and_ends_everything(server: Server, alice: Person) -> None:
    body = assert_envelope(alice.call("DELETE", "users/me/", {"password": "wrong"}), 400, "validation_error")
    assert body["errors"]["password"][0]["code"] == "invalid_password"
    assert alice.call("DELETE", "users/me/", {"password": PASSWORD}).status_code == 204
    assert_envelope(alice.get("users/me/"), 401, "token_not_valid", action="login")
    refreshed = post(server, "auth/token/refresh/", {"refresh": alice.login["refresh"]})
    assert_envelope(refreshed, 401, "token_not_valid", action="login")
    assert login(server, alice.username).status_code == 401
    assert register(server, username=alice.username, email=alice.email).status_code == 201


def test_the_export_is_a_download_of_ones_own(alice: Person) -> None:
    answer = alice.get("users/me/export/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert "attachment" in answer.headers["content-disposition"]
    assert alice.email in answer.text
    assert "argon2" not in answer.text


def test_the_timeline_tells_what_happened(server: Server, alice: Person) -> None:
    login(server, alice.username, "wrong")
    events = alice.get("users/me/security-events/").json()["results"]
    assert {"login", "login_failed"} <= {event["kind"] for event in events}
    assert set(events[0]) == {"id", "kind", "at", "ip_address", "location", "client", "session_id", "detail"}


def test_people_are_found_by_name_without_their_address(server: Server, alice: Person, bob: Person) -> None:
    assert_envelope(alice.get("users/search/?q=x"), 400, "validation_error")
    found = alice.get(f"users/search/?q={bob.username[:8]}").json()["results"]
    assert found == [{"id": bob.id, "username": bob.username, "first_name": "", "last_name": ""}]
    assert alice.get("users/search/?q=%25%25").json()["results"] == []


def test_a_stranger_never_shows_in_a_link_of_a_mail(server: Server, alice: Person) -> None:
    post(
        server,
        "auth/password-reset/",
        {"email": alice.email},
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    )
    server.mailed_token(alice.email, "/reset-password")
    assert all("evil" not in str(mail) for mail in server.mails(alice.email))


def test_a_forged_x_forwarded_for_changes_nothing(alice: Person) -> None:
    answer = http.post(
        alice.server.base + "/api/auth/login/",
        json={"username": alice.username, "password": PASSWORD},
        headers={"X-Forwarded-For": "8.8.8.8", "X_Forwarded_For": "8.8.8.8"},
    )
    assert answer.json()["session"]["ip_address"] == "127.0.0.1"


def test_two_parallel_registrations_of_one_name_make_one_person(server: Server) -> None:
    name = "twin" + uuid.uuid4().hex[:8]
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(register(server, username=name).status_code)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [201, 400, 400, 400]


def test_the_cast_can_be_made(server: Server) -> None:
    assert make_person(server).login["access"]
