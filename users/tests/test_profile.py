"""`users/me/`: what one may see and change of oneself."""

import pytest

from users.models import User

pytestmark = pytest.mark.django_db
URL = "/api/users/me/"


def test_the_keys_are_those_of_the_contract(alice_api, alice):
    answer = alice_api.get(URL)
    assert list(answer.data) == [
        "id", "username", "email", "email_verified", "phone_number", "phone_verified", "first_name", "last_name",
        "language", "timezone", "email_notifications", "sms_notifications", "push_notifications", "date_joined",
        "last_login",
    ]  # fmt: skip
    assert answer.json()["date_joined"].endswith("Z")
    assert answer.data["id"] == alice.pk


def test_what_may_be_changed(alice_api, alice):
    changes = {
        "first_name": "Ælice", "last_name": "O’Neil", "language": "ar", "timezone": "Europe/Paris",
        "phone_number": "+33 1 42 68 53 00", "email_notifications": False, "sms_notifications": True,
        "push_notifications": False, "username": "Alice.B",
    }  # fmt: skip
    answer = alice_api.patch(URL, changes)
    assert answer.status_code == 200
    expected = changes | {"phone_number": "+33142685300"}
    assert {key: answer.data[key] for key in changes} == expected
    assert {key: alice_api.get(URL).data[key] for key in changes} == expected
    alice.refresh_from_db()
    assert (alice.search_first_name, alice.search_username) == ("ælice", "alice.b")


def test_what_is_not_ones_to_change_is_ignored(alice_api, alice):
    forbidden = {
        "id": 77, "email": "evil@example.com", "email_verified": False, "phone_verified": True, "is_staff": True,
        "is_superuser": True, "password": "x", "date_joined": "2000-01-01T00:00:00Z", "last_login": None,
        "locked_until": None, "groups": [1], "username_key": "bob", "device_token_version": 9,
    }  # fmt: skip
    before = alice_api.get(URL).data
    assert alice_api.patch(URL, forbidden).data == before
    alice.refresh_from_db()
    assert (alice.is_staff, alice.is_superuser, alice.username_key) == (False, False, "alice")
    assert alice.check_password("alviar-demo")


def test_another_number_is_an_unverified_one(alice_api, alice):
    User.objects.update(phone_number="+33142685300", phone_verified=True)
    assert alice_api.patch(URL, {"phone_number": "+33142685300"}).data["phone_verified"] is True
    assert alice_api.patch(URL, {"phone_number": "+33142685301"}).data["phone_verified"] is False
    assert alice_api.patch(URL, {"phone_number": ""}).data["phone_number"] == ""
    # Numbering plans change faster than our copy of them: possible is enough, proof comes by a code.
    assert alice_api.patch(URL, {"phone_number": "+15551234567"}).data["phone_number"] == "+15551234567"


def test_a_name_that_looks_like_anothers_is_taken_but_ones_own_is_not(alice_api, bob):
    answer = alice_api.patch(URL, {"username": "B0B"})
    assert answer.data["errors"]["username"][0]["code"] == "unique"
    assert alice_api.patch(URL, {"username": "ALICE"}).data["username"] == "ALICE"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", 5), ("first_name", "a\0b"), ("first_name", "a\u202eb"),
        ("first_name", "a\nb"), ("last_name", "x" * 151), ("last_name", "x" * 100_000), ("language", "de"),
        ("language", "../fr"), ("timezone", "Nowhere"), ("timezone", "europe/paris/../x"),
        ("timezone", 5), ("phone_number", "123"), ("phone_number", "0142685300"), ("phone_number", "+999999999999"),
        ("phone_number", 33142685300), ("phone_number", "+33" + "1" * 60),
        ("email_notifications", "true"), ("email_notifications", 1),
        ("username", ""), ("username", "a b"), ("username", "x@y.z"), ("username", "d\u200bora"),
    ],
)  # fmt: skip
def test_impossible_values_are_400(alice_api, field, value):
    answer = alice_api.patch(URL, {field: value})
    assert (answer.status_code, answer.data["code"], set(answer.data["errors"])) == (400, "validation_error", {field})


@pytest.mark.parametrize("raw", [b"[]", b"5", b'"x"', b"null"])
def test_a_body_that_is_no_object_is_400(alice_api, raw):
    assert alice_api.patch(URL, raw, content_type="application/json").status_code == 400


def test_names_may_hold_joiners(alice_api):
    assert alice_api.patch(URL, {"first_name": "می\u200cخواهم"}).status_code == 200


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_nobody_is_401(api, method):
    answer = getattr(api, method)(URL)
    assert (answer.status_code, answer.data["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("method", ["put", "post"])
def test_other_methods_are_405(alice_api, method):
    answer = getattr(alice_api, method)(URL)
    assert (answer.status_code, answer.data["code"]) == (405, "method_not_allowed")


def test_null_counts_as_absent(alice_api):
    answer = alice_api.patch(URL, {"first_name": None, "language": None, "username": None, "last_name": "Liddell"})
    assert (answer.status_code, answer.data["first_name"], answer.data["last_name"]) == (200, "", "Liddell")


def test_any_space_is_a_space(alice_api):
    assert alice_api.patch(URL, {"first_name": "Jean\u00a0Paul\u2009II"}).data["first_name"] == "Jean Paul II"
    assert alice_api.patch(URL, {"last_name": "de\tla\u2028Tour\u2029"}).data["last_name"] == "de la Tour"


def test_what_is_shown_may_be_sent_back_though_no_rule_of_today_would_take_it(sign_in, alice):
    legacy = {"username": "alice@old.example", "phone_number": "0142685300", "timezone": "GMT+01:00", "language": "pt"}
    User.objects.filter(pk=alice.pk).update(**legacy)
    here = sign_in(User.objects.get(pk=alice.pk))
    shown = here.get(URL).json()
    answer = here.patch(URL, {**shown, "first_name": "Alice"})
    assert (answer.status_code, answer.data["username"], answer.data["first_name"]) == (
        200,
        legacy["username"],
        "Alice",
    )
    assert here.patch(URL, {"username": "other@old.example"}).status_code == 400
