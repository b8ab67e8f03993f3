"""Opening an account: what is taken, what is refused, and that two at once make one."""

import pytest
from django.core import mail
from django.test import override_settings

from users.flows import register
from users.models import User

pytestmark = pytest.mark.django_db
URL = "/api/auth/register/"
PASSWORD = "correct horse battery"


def body(**changes):
    return {
        "username": "Fiona",
        "email": "Fiona@Example.COM",
        "password": PASSWORD,
        "password_confirm": PASSWORD,
    } | changes


def codes(answer, field):
    assert answer.status_code == 400, answer.data
    assert answer.data["code"] == "validation_error"
    return [error["code"] for error in answer.data["errors"][field]]


def test_a_registration_answers_the_user_and_mails_a_link(api, run_tasks):
    answer = api.post(URL, body(language="ar", timezone="Asia/Tokyo"))
    assert answer.status_code == 201
    assert answer.data["user"]["username"] == "Fiona"
    assert answer.data["user"]["email"] == "Fiona@example.com"
    assert answer.data["user"]["email_verified"] is False
    assert (answer.data["user"]["language"], answer.data["user"]["timezone"]) == ("ar", "Asia/Tokyo")
    assert set(answer.data) == {"user"}
    run_tasks()
    assert mail.outbox[0].to == ["Fiona@example.com"]
    assert User.objects.get().password.startswith(("argon2", "md5"))


def test_defaults_are_those_of_the_guide(api):
    user = api.post(URL, body()).data["user"]
    assert (user["language"], user["timezone"]) == ("fr", "Africa/Algiers")
    assert (user["email_notifications"], user["sms_notifications"], user["push_notifications"]) == (True, False, True)


def test_the_alias_of_the_second_guide_is_the_same_view(api):
    assert api.post("/api/users/auth/register/", body()).status_code == 201


@pytest.mark.parametrize("twin", ["fiona", "FIONA", "ﬁona", "fi0na", "FiOnA", "ｆｉｏｎａ", "fíona."])
def test_a_look_alike_of_a_taken_name_is_taken(api, twin):
    api.post(URL, body())
    assert codes(api.post(URL, body(username=twin, email="other@example.com")), "username") == ["unique"]


@pytest.mark.parametrize(
    "twin", ["fiona@example.com", "FIONA@EXAMPLE.COM", "Fiona@ｅxample.com", " fiona@example.com "]
)
def test_an_address_is_one_whatever_its_case_and_width(api, twin):
    api.post(URL, body())
    assert codes(api.post(URL, body(username="other", email=twin)), "email") == ["unique"]


@pytest.mark.parametrize(
    "name",
    [
        "fi\u200bona",  # zero width space
        "fi\u202eona",  # right-to-left override
        "fi\u00adona",  # soft hyphen
        "fi\u034fona",  # combining grapheme joiner: a mark that shows as nothing
        "fi\u3164ona",  # Hangul filler: a letter that shows as nothing
        "fi ona",
        "fiona\u0000",
        "fiona\n.",
        "fіona",  # Cyrillic і
        "fiοna",  # Greek ο
        "bob@example.com",
        "...",
        "deleted-5",
        "De1eted-5",
        "\u0301fiona",
        "👩",
        "a" * 151,
        "ﷺ" * 20,  # 18 characters each in NFKC
        "x" * 100_000,
        "",
        "   ",
        5,
        True,
        None,
        ["fiona"],
        {"a": 1},
    ],
)
def test_an_impossible_name_is_refused(api, name):
    assert codes(api.post(URL, body(username=name)), "username")
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "name", ["فاطمة", "Жанна", "李小龍", "ひらがなカナ漢字", "김철수", "josé.b-1+x", "Ελένη", "नेहा", "ภาษา", "7"]
)
def test_names_of_every_script_are_welcome(api, name):
    answer = api.post(URL, body(username=name))
    assert answer.status_code == 201, answer.data
    assert answer.data["user"]["username"] == name


def test_a_whole_name_in_another_script_is_no_disguise(api):
    api.post(URL, body(username="ace"))
    assert codes(api.post(URL, body(username="асе", email="other@example.com")), "username") == ["unique"]


@pytest.mark.parametrize(
    "email",
    ["", "fiona", "fiona@", "@example.com", "fiona@exa mple.com", "mi\u212ae@example.com", "ſam@example.com",
     "a\n@example.com",
     "a@example.com\nBcc: b@example.com", "a" * 300 + "@example.com", 5, None, ["a@example.com"]],
)  # fmt: skip
def test_an_impossible_address_is_refused(api, email):
    assert codes(api.post(URL, body(email=email)), "email")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short1!", "password_too_short"),
        ("12345678901", "password_entirely_numeric"),
        ("password", "password_too_common"),
        ("x9" * 65, "password_too_long"),
        ("fiona1234", "password_too_similar"),
        (5, "invalid"),
        (None, "null"),
        ("correct\0horse", "null_characters_not_allowed"),
        ("x" * 100_000, "max_length"),
    ],
)
def test_a_weak_or_impossible_password_is_refused_under_its_field(api, password, code):
    assert code in codes(api.post(URL, body(password=password, password_confirm=password)), "password")


def test_any_other_character_may_stand_in_a_password(api):
    password = " \u202e\u200b🔑 ночь "
    assert api.post(URL, body(password=password, password_confirm=password)).status_code == 201
    assert User.objects.get().check_password(password)


def test_a_mismatch_stands_under_the_repetition(api):
    assert codes(api.post(URL, body(password_confirm="other")), "password_confirm") == ["password_mismatch"]


@pytest.mark.parametrize(
    ("field", "value"), [("language", "xx"), ("language", 5), ("timezone", "Mars/Base"), ("timezone", "../etc")]
)
def test_an_unknown_language_or_zone_is_the_default(api, field, value):
    default = User._meta.get_field(field).default
    assert api.post(URL, body(**{field: value})).data["user"][field] == default


@pytest.mark.parametrize(
    ("wish", "header", "language"),
    [("fr-CA", "", "fr"), ("fr_FR", "en", "fr"), ("ar_DZ.UTF-8", "", "ar"), ("pt-BR", "de, ar;q=0.5", "ar"),
     ("", "en-GB", "en"), (None, "en", "en"), ("pt-BR", "", "fr"), ("pt-BR", "de", "fr"), (["fr"], "en", "en")],
)  # fmt: skip
def test_a_language_is_a_preference_and_refuses_nothing(api, wish, header, language):
    answer = api.post(URL, body(language=wish, timezone="GMT+01:00"), HTTP_ACCEPT_LANGUAGE=header)
    assert (answer.status_code, answer.data["user"]["language"]) == (201, language)
    assert answer.data["user"]["timezone"] == "Africa/Algiers"


def test_without_a_language_mails_speak_that_of_the_request(api, run_tasks):
    api.post(URL, body(), HTTP_ACCEPT_LANGUAGE="en")
    run_tasks()
    assert mail.outbox[0].subject == "Confirm your e-mail address · Alviar"


def test_nothing_else_can_be_assigned(api):
    forbidden = {
        "is_staff": True,
        "is_superuser": True,
        "email_verified": True,
        "id": 77,
        "date_joined": "2000-01-01T00:00:00Z",
    }
    assert api.post(URL, body(**forbidden)).status_code == 201
    user = User.objects.get()
    assert (user.is_staff, user.is_superuser, user.email_verified, user.pk == 77) == (False, False, False, False)


def test_all_errors_come_at_once(api):
    answer = api.post(URL, {})
    assert set(answer.data["errors"]) == {"username", "email", "password", "password_confirm"}


@pytest.mark.parametrize(
    "raw", [b"[]", b'"x"', b"5", b"null", b"{", b"", b'{"username": "\\ud800"}', b"\xff", b"[" * 100_000]
)
def test_a_body_that_is_no_object_is_400(api, raw):
    answer = api.post(URL, raw, content_type="application/json")
    assert answer.status_code == 400
    assert answer.data["code"]


@override_settings(REGISTRATION_OPEN=False)
def test_a_closed_registration_is_403(api):
    answer = api.post(URL, body())
    assert (answer.status_code, answer.data["code"]) == (403, "registration_closed")
    assert api.post(URL, {}).data["code"] == "registration_closed"


def test_of_two_at_once_one_gets_unique(api, monkeypatch):
    """The look before the insert finds nobody, as it does when both look first."""
    api.post(URL, body())
    looks = []
    real = register.require_free

    def blind_once(**kwargs):
        looks.append(1)
        if len(looks) > 1:
            real(**kwargs)

    monkeypatch.setattr(register, "require_free", blind_once)
    answer = api.post(URL, body())
    assert codes(answer, "username") == ["unique"]
    assert codes(answer, "email") == ["unique"]


def test_twenty_registrations_an_hour_from_one_address(api):
    for number in range(20):
        assert api.post(URL, body(username=f"n{number}", password="")).status_code == 400
    for number in range(20):
        api.post(URL, body(username=f"p{number}", email=f"p{number}@example.com"))
    answer = api.post(URL, body())
    assert (answer.status_code, answer.data["code"]) == (429, "throttled")
    assert int(answer["Retry-After"]) > 0
