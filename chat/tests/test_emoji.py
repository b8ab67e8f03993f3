"""One emoji has one spelling, and only what Unicode calls an emoji is one."""

import pytest

from chat.services import emoji
from chat.tests.calls import BASE, api, codes, group, say


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        ("❤", "❤️"), ("❤️", "❤️"), ("❤\ufe0e", "❤️"), ("👍", "👍"), ("👍🏽", "👍🏽"), ("☺", "☺️"), ("1⃣", "1️⃣"), ("🇩🇿", "🇩🇿"),
        ("👁‍🗨", "👁️‍🗨️"), ("🏳‍🌈", "🏳️‍🌈"), ("👨‍👩‍👧", "👨‍👩‍👧"), ("🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"), ("🫪", "🫪"), ("\U0001fadd", "\U0001fadd"),
    ],
)  # fmt: skip
def test_an_emoji_has_one_spelling(given, spelled):
    assert emoji.qualified(given) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        "→",
        "⌶",
        "🇽🇽",
        "🇩",
        "a",
        "1",
        "#",
        "👍👍",
        "🏽",
        "\u200d",
        "\ufe0f",
        "é",
        "👍a",
        "☺☺",
        "🐶‍🐱",
        "x" * 40,
        "\U0001f6d0" * 3,
    ],
)
def test_what_unicode_calls_no_emoji_is_none(text):
    assert emoji.qualified(text) is None


@pytest.mark.django_db
def test_both_spellings_of_a_heart_are_one_reaction(alice, bob):
    message = say(alice, group(alice, bob))
    path = f"{BASE}messages/{message['uuid']}/reactions/"
    api(alice).put(f"{path}❤/")
    shown = api(bob).put(f"{path}❤️/").json()["reactions"]
    assert shown == [{"emoji": "❤️", "count": 2, "mine": True}]
    api(alice).delete(f"{path}❤️/")
    assert api(bob).delete(f"{path}❤\ufe0e/").status_code == 204
    assert codes(api(bob).put(f"{path}→/"), "emoji") == ["invalid_emoji"]


@pytest.mark.django_db
def test_a_message_takes_fifty_different_reactions(alice, bob):
    message = say(alice, group(alice, bob))
    path = f"{BASE}messages/{message['uuid']}/reactions/"
    for place in range(50):
        answer = api(alice if place % 2 else bob).put(f"{path}{chr(0x1F400 + place)}/")
        assert answer.status_code == 200, place
    assert codes(api(alice).put(f"{path}👍/"), "emoji") == ["too_many_reactions"]
    assert api(alice).put(f"{path}{chr(0x1F400)}/").status_code == 200  # one that is there already
