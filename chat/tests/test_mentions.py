"""Whom a text mentions."""

import pytest

from chat.services import mentions
from chat.tests.calls import api, at, group, say


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("@Bob", ["bob"]),
        ("(@bob), @bob! @BOB.", ["bob", "bob."]),
        ("你好@bob", ["bob"]),
        ("@bob你好", ["bob你好", "bob你", "bob"]),
        ("و@bob", ["bob"]),
        ("@bob، مرحبا", ["bob"]),
        ("＠ｂｏｂ", ["bob"]),
        ("@E\u0301lodie et @Иван", ["élodie", "иван"]),
        ("@straße @STRASSE", ["strasse"]),
        ("@bob2", ["bob2"]),
        ("@o.brien-smith.", ["o.brien-smith.", "o.brien-smith"]),
        ("_@bob_ and __@bob__", ["bob_", "bob", "bob__"]),
        ("a_@bob _a_@bob @_@bob 5_@bob", []),
        ("mail bob@bob.example, élodie@bob, пётр@bob, a.@bob, 5@bob, @@bob", []),
        ("`@bob` and ``a ` @bob``", []),
        ("```\n@bob\n```", []),
        ("~~~ python\n@bob", []),
        ("> @bob said\n  > @bob", []),
        ("> quoted\n@bob", ["bob"]),
        ("a ` alone @bob", ["bob"]),
        ("@", []),
        ("@...", []),
    ],
)
def test_names_are_found(content, names):
    found = mentions.mentioned(content)
    assert list(dict.fromkeys(name for one in found for name in one)) == names


def test_no_more_than_fifty_are_looked_for():
    assert len(mentions.mentioned(" ".join(f"@n{number}" for number in range(200)))) == 50


def test_a_text_of_nothing_but_at_signs_and_backticks_is_read_in_one_go():
    for text in ("@" * 4000, "`" * 4000, "@字" * 2000, "@" + "字" * 3999, "` " * 2000, "```\n" * 1000):
        mentions.mentioned(text)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("username", "text"),
    [
        ("Élodie", "salut @élodie"),
        ("Élodie", "SALUT @E\u0301LODIE"),
        ("Иван", "привет, @иван!"),
        ("straße", "hallo @STRASSE"),
        ("李明", "你好@李明在吗"),
        ("أحمد", "مرحبا @أحمد، كيف"),
        ("o.b.", "salut @o.b."),
        ("o.b.", "@o.b... ?"),
        ("eve-", "@eve- ?"),
        ("eve", "that is _@eve_."),
        ("eve", "ask __@eve__"),
        ("eve_", "ask @eve_."),
    ],
)
def test_members_are_found_by_the_folded_name_that_is_kept(alice, person, username, text):
    member = person(username)
    conversation = group(alice, member)
    assert say(alice, conversation, text)["mentions"] == [member.pk]


@pytest.mark.django_db
@pytest.mark.parametrize("q", ["équipe", "ÉQUIPE", "E\u0301quipe", "strasse", "élod", "иван п"])
def test_the_conversation_list_is_searched_by_folded_names(alice, person, q):
    member = person("Élodie", first_name="Иван", last_name="Петров")
    conversation = group(alice, member, title="Équipe Hauptstraße")
    other = group(alice, title="Something else")
    found = api(alice).get("/api/chat/conversations/", {"q": q}).json()["results"]
    assert [row["uuid"] for row in found] == [conversation["uuid"]]
    api(alice).patch(at(other), {"title": "Équipe Straße Élodie"})
    if q not in {"иван п"}:
        assert len(api(alice).get("/api/chat/conversations/", {"q": q}).json()["results"]) == 2
