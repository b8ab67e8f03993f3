"""Find what was said: by words in any script, only what one may see, as it is now."""

import json
import re
from io import StringIO
from itertools import pairwise

import pytest
from django.core.management import call_command
from django.db import connection

from chat.models import Conversation, Message, MessageText
from chat.search import find, query, words
from chat.tests import files
from chat.tests.calls import BASE, api, at, codes, direct, group, refused, say
from tests import plans

pytestmark = pytest.mark.django_db


def search(user, q="", **parameters):
    answer = api(user).get(f"{BASE}search/", {"q": q, **parameters})
    assert answer.status_code == 200, answer.content
    return answer.json()


def found(user, q="", **parameters):
    return [row["message"]["content"] for row in search(user, q, **parameters)["results"]]


def marked(user, q):
    """Return the highlighted parts of what was found, cut as a browser cuts."""
    parts = []
    for row in search(user, q)["results"]:
        units = row["message"]["content"].encode("utf-16-le")
        parts += [units[2 * start : 2 * end].decode("utf-16-le") for start, end in row["highlights"]]
    return parts


@pytest.fixture
def room(alice, bob):
    return group(alice, bob)


@pytest.mark.parametrize(
    ("content", "q"),
    [
        ("Un élève attentif", "eleve"), ("un eleve", "ÉLÈVE"), ("e\u0301le\u0300ve", "élève"),
        ("İstanbul'da", "istanbul"),
        ("istanbul", "İSTANBUL"), ("ISPARTA ılık", "ilik"), ("Hauptstraße 5", "hauptstrasse"), ("STRASSE", "straße"),
        ("أحمد هنا", "احمد"), ("احمد", "أحمد"), ("مدرسة كبيرة", "مدرسه"), ("مُحَمَّد", "محمد"), ("محمد", "مُحَمَّد"),
        ("إلى البيت", "الي"), ("ﬁnale", "finale"), ("finale", "ﬁnale"), ("ｆｕｌｌ ｗｉｄｔｈ", "full"),
        ("full", "ｆｕｌｌ"),
        ("Ёлка и ёж", "елка"), ("Πρόσθεση", "προσθεση"), ("ὈΔΥΣΣΕΎΣ", "οδυσσευς"), ("שָׁלוֹם", "שלום"),
        ("今天天气很好", "天气"), ("東京タワー", "タワー"), ("สวัสดีครับ", "ครับ"), ("हिन्दी में", "हिन्दी"),
        ("안녕하세요 여러분", "안녕"), ("café-crème", "creme"),
        ("don't stop", "don't"), ("see https://example.com/path", "example.com"), ("naïve", "NAI"), ("x² + ½", "x2"),
        ("co\u00adope\u00adrate", "cooperate"),
        ("م\u200fرحبا", "مرحبا"), ("wo\u2060rd", "word"), ("\u200fשלום\u200e", "שלום"),
    ],
)  # fmt: skip
def test_words_and_their_beginnings_are_found_in_every_script(alice, room, content, q):
    say(alice, room, content)
    say(alice, room, "something else entirely")
    assert found(alice, q) == [content]
    assert search(alice, q)["results"][0]["highlights"]


@pytest.mark.parametrize(
    ("q", "contents"),
    [
        ("quick fox", ["the quick brown fox"]),
        ("fox quick", ["the quick brown fox"]),
        ("qui", ["a quiet dog", "the quick brown fox"]),
        ('"quick brown"', ["the quick brown fox"]),
        ('"brown quick"', []),
        ('"qui"', []),
        ("“quick brown”", ["the quick brown fox"]),
        ("dog -quiet", ["a dog"]),
        ("-quick -quiet", ["a dog"]),
        ('dog -"a quiet"', ["a dog"]),
        ("quick OR dog", []),
        ("uick", []),
        ("the", ["the quick brown fox"]),
    ],
)
def test_all_words_are_needed_phrases_stand_together_and_minus_leaves_out(alice, room, q, contents):
    for content in ("the quick brown fox", "a dog", "a quiet dog"):
        say(alice, room, content)
    assert sorted(found(alice, q)) == sorted(contents)


@pytest.mark.parametrize(
    "q",
    [
        "fox*", "fox AND", "NEAR(fox", "words:fox", "fox:*", "(fox", "fox)", "^fox", "fox & !", "fox | ",
        "fox'", "fox;--",
        '"fox', 'fox "', "fox <->", "fox\\", "+fox", "{fox}", "fox %", "-- fox", "fox 😀",
    ],
)  # fmt: skip
def test_operators_of_the_engine_are_plain_text(alice, room, q):
    say(alice, room, "words fox, near fox and not or anything")
    answer = api(alice).get(f"{BASE}search/", {"q": q})
    assert answer.status_code == 200
    assert len(answer.json()["results"]) == 1


@pytest.mark.parametrize("q", ["***", "'", '"', "-", "()", "😀", "&|!", "\u200d"])
def test_signs_alone_find_nothing(alice, room, q):
    say(alice, room, "anything *** ' \" - ( ) 😀")
    assert found(alice, q) == []


@pytest.mark.parametrize(
    ("content", "q", "parts"),
    [
        ("😀 élève 😀 élève", "eleve", ["élève", "élève"]),
        ("Hauptstraße", "haupt", ["Hauptstraße"]),
        ("the quick brown fox", '"quick brown" fox', ["quick brown", "fox"]),
        ("今天天气很好", "天气", ["天气"]),
        ("e\u0301le\u0300ve", "eleve", ["e\u0301le\u0300ve"]),
        ("don't", "don't", ["don't"]),
        ("ab ab", "a ab", ["ab", "ab"]),
        ("𝒇𝒐𝒙 fox", "fox", ["𝒇𝒐𝒙", "fox"]),
    ],
)
def test_highlights_count_as_browsers_do(alice, room, content, q, parts):
    say(alice, room, content)
    assert marked(alice, q) == parts


def test_an_edit_is_found_by_its_new_text_at_once(alice, room):
    message = say(alice, room, "first words")
    api(alice).patch(f"{BASE}messages/{message['uuid']}/", {"content": "second thoughts"})
    assert (found(alice, "first"), found(alice, "second")) == ([], ["second thoughts"])


def test_what_was_taken_back_is_found_by_nobody(alice, bob, room):
    message = say(alice, room, "secret")
    api(alice).delete(f"{BASE}messages/{message['uuid']}/")
    assert (found(alice, "secret"), found(bob, "secret")) == ([], [])
    assert not MessageText.objects.exists()


def test_only_what_one_may_see_is_found(alice, bob, charlie, person):
    private, open_room = group(alice, bob), group(alice, bob, history_visible=True)
    for conversation in (private, open_room, direct(alice, bob)):
        say(alice, conversation, "needle early")
    assert (len(found(bob, "needle")), found(charlie, "needle")) == (3, [])
    for conversation in (private, open_room):
        api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
        say(alice, conversation, "needle late")
    assert sorted(found(charlie, "needle")) == ["needle early", "needle late", "needle late"]
    assert found(charlie, "needle", conversation_uuid=private["uuid"]) == ["needle late"]
    api(alice).delete(at(private, f"members/{charlie.pk}/"))
    api(alice).delete(at(open_room, f"members/{charlie.pk}/"))
    assert found(charlie, "needle") == []


def test_a_reply_found_quotes_nothing_of_before(alice, bob, charlie):
    conversation = group(alice, bob)
    secret = say(alice, conversation, "secret")
    api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
    say(bob, conversation, "an answer", reply_to=secret["uuid"])
    [row] = search(charlie, "answer")["results"]
    assert row["message"]["reply_to"] == {"uuid": secret["uuid"], "sender": None, "excerpt": ""}


def test_filters_narrow_what_is_found(alice, bob, room):
    other = group(alice, bob)
    first = say(alice, room, "tea at https://example.com")
    second = say(bob, other, "tea again")
    assert found(alice, "tea", conversation_uuid=other["uuid"]) == ["tea again"]
    assert found(alice, "tea", sender_id=alice.pk) == ["tea at https://example.com"]
    assert found(alice, "tea", has="link") == ["tea at https://example.com"]
    assert found(alice, has="link") == ["tea at https://example.com"]
    assert found(alice, "tea", has="attachment") == []
    assert found(alice, "tea", before=second["created_at"]) == ["tea at https://example.com"]
    assert "tea again" in found(alice, "tea", after=first["created_at"])
    assert found(alice, sender_id=bob.pk) == ["tea again"]
    assert found(alice, "tea", sender_id=999_999) == []


def test_a_strangers_conversation_does_not_exist(alice, charlie, room):
    answer = api(charlie).get(f"{BASE}search/", {"q": "x", "conversation_uuid": room["uuid"]})
    assert refused(answer, 404, "not_found")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conversation_uuid", "x"), ("sender_id", "x"), ("sender_id", -1), ("sender_id", 2**70), ("before", "soon"),
        ("after", "2030-99-01"), ("has", "everything"), ("limit", "x"), ("limit", "0"), ("q", "x" * 301), ("q", "\x00"),
    ],
)  # fmt: skip
def test_a_filter_of_the_wrong_kind_is_refused_by_name(alice, room, name, value):
    assert codes(api(alice).get(f"{BASE}search/", {"q": "x", name: value}), name)


def test_something_has_to_be_asked_for(alice):
    assert codes(api(alice).get(f"{BASE}search/"), "q") == ["required"]
    assert codes(api(alice).get(f"{BASE}search/", {"q": "  "}), "q") == ["required"]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "9" * 30, "٣", "%00"])
def test_a_forged_cursor_is_not_found(alice, room, cursor):
    assert refused(api(alice).get(f"{BASE}search/?q=x&cursor={cursor}"), 404, "not_found")


def test_pages_come_newest_first_without_loss(alice, room):
    for number in range(7):
        say(alice, room, f"word {number}")
    page = search(alice, "word", limit=3)
    contents = [row["message"]["content"] for row in page["results"]]
    say(alice, room, "word new")
    while page["next"]:
        page = api(alice).get(page["next"]).json()
        contents += [row["message"]["content"] for row in page["results"]]
    assert contents == [f"word {number}" for number in range(6, -1, -1)]
    assert page["previous"] is None


def test_everything_shown_is_a_message_as_history_shows_it(alice, bob, room):
    message = say(alice, room, "hello @bob")
    api(bob).put(f"{BASE}messages/{message['uuid']}/reactions/👍/")
    [row] = search(bob, "hello")["results"]
    assert row["message"] == api(bob).get(at(room, "messages/")).json()["results"][0]


def test_reindex_finds_what_was_said_before(alice, room):
    for number in range(3):
        say(alice, room, f"old {number}")
    gone = say(alice, room, "old gone")
    MessageText.objects.all().delete()
    Message.objects.filter(uuid=gone["uuid"]).update(deleted_at="2030-01-01T00:00:00Z")
    assert found(alice, "old") == []
    for _ in range(2):  # again changes nothing
        out = StringIO()
        call_command("reindex", stdout=out)
        assert out.getvalue() == "3 messages indexed\n"
        assert len(found(alice, "old")) == 3


def test_a_word_longer_than_any_is_found_by_its_beginning(alice, room):
    say(alice, room, "é" * 4000)
    assert len(found(alice, "e" * 290)) == 1
    assert len(found(alice, "e")) == 1


def test_a_message_of_four_thousand_words_is_indexed(alice, room):
    say(alice, room, "字" * 4000)
    say(alice, room, "a " * 2000)
    assert (len(found(alice, "字字")), len(found(alice, "a"))) == (1, 1)


def test_a_query_has_at_most_twenty_terms():
    assert len(query.parse(" ".join(f"w{number}" for number in range(100))).terms) == query.TERMS


@pytest.mark.parametrize("text", ["", "a", "Élève 😀 字", "x\u0301\u0301", "\u0301", "ـــ", "a\u200db"])
def test_words_lie_within_the_text_and_do_not_overlap(text):
    places = [(word.start, word.end) for word in words.words(text)]
    assert all(start < end for start, end in places)
    assert places == sorted(places)
    assert all(one[1] <= other[0] for one, other in pairwise(places))


# --- Plans ------------------------------------------------------------------------------------------------------------


def plan(sql, parameters):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Dead rows of earlier tests must not decide the plan: pages cost as on a fast disk.
            cursor.execute("SET LOCAL random_page_cost = 1.1")
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
            return json.dumps(cursor.fetchone()[0])
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
        return "\n".join(row[3] for row in cursor.fetchall())


def fill(conversation, sender, count):
    """Write a past that is long enough to matter, one word of its own in each message."""
    is_postgresql = connection.vendor == "postgresql"
    now, name = ("now()", "gen_random_uuid()") if is_postgresql else ("CURRENT_TIMESTAMP", "lower(hex(randomblob(16)))")
    words = "array_to_tsvector(ARRAY[content])" if is_postgresql else "content"
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO chat_message (uuid, conversation_id, seq, message_no, sender_id, content, content_digest,
                                      mentions, created_at)
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s)
            SELECT {name}, %s, 1000 + n, 1000 + n, %s, 'word' || n, '', '[]', {now} FROM numbers
            """,
            [count, Conversation.objects.get(uuid=conversation["uuid"]).pk, sender.pk],
        )
        cursor.execute(f"INSERT INTO chat_messagetext SELECT id, {words}, false FROM chat_message WHERE seq > 1000")
        plans.analyse(cursor)


def test_the_index_answers_and_no_table_is_read_through(alice, room):
    fill(room, alice, 20_000)
    assert found(alice, "word7777 -word8") == ["word7777"]
    shown = plan(*find.statement(alice.pk, find.Wanted(query=query.parse("word7777 -word8")), limit=20))
    if connection.vendor == "postgresql":
        assert "chat_messagetext_words" in shown
        read_through = set(re.findall(r'"Seq Scan".*?"Relation Name": "(\w+)"', shown))
        assert read_through <= {"chat_membership"}  # two rows here, which no planner asks an index for
    else:
        lines = shown.splitlines()
        assert lines[0].startswith("SCAN chat_messagetext_fts VIRTUAL TABLE INDEX")  # first, in descending order
        assert "TEMP B-TREE" not in shown  # nothing is sorted: a page ends the search
        assert not any(line.startswith(("SCAN m", "SCAN b", "SCAN chat_message ")) for line in lines), shown


def test_a_message_with_any_of_the_excluded_words_is_left_out(alice, room):
    for text in ("tea with milk", "tea with lemon juice", "tea", "tea with lemon and ice", "coffee"):
        say(alice, room, text)
    assert found(alice, "tea -milk") == ["tea with lemon and ice", "tea", "tea with lemon juice"]
    assert found(alice, 'tea -milk -"lemon juice"') == ["tea with lemon and ice", "tea"]
    assert found(alice, "tea with -milk -lemon") == []
    assert found(alice, "-tea") == ["coffee"]


def test_what_has_an_attachment_is_found_by_that_with_or_without_words(alice, bob, charlie, room, settings, tmp_path):
    settings.MEDIA_ROOT = str(tmp_path / "media")
    say(alice, room, "tea without a picture")
    say(alice, room, "tea with one", attachments=[files.upload(alice, files.image())["uuid"]])
    bare = say(bob, room, "", attachments=[files.upload(bob, b"a letter")["uuid"]])
    assert found(bob, "tea", has="attachment") == ["tea with one"]
    assert found(bob, has="attachment") == ["", "tea with one"]
    assert found(charlie, has="attachment") == []
    api(bob).delete(f"{BASE}messages/{bare['uuid']}/")
    assert found(bob, has="attachment") == ["tea with one"]


@pytest.mark.parametrize(
    "text",
    ["Shall we meet? SHALL WE!", "one two one", "a" * 300, "", "naïve Straße, ﬁne", "\N{HIRAGANA LETTER A}b c"],
    ids=["ascii", "a word twice", "a long word", "empty", "accents", "no spaces"],
)
def test_words_alone_are_those_with_their_places(text):
    assert words.folded(text) == [word.text for word in words.words(text)]
