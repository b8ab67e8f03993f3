"""Conversations over REST: open, create, list, find, rename, set aside."""

import pytest
import time_machine

from chat.models import Conversation
from chat.tests.calls import CONVERSATIONS, api, at, codes, direct, events, group, refused, say, shown

ROW = {
    "uuid", "kind", "title", "members_count", "members", "last_message", "last_seq", "seen_seq", "unread_count",
    "mention_count", "muted_until", "pinned", "archived", "my_role", "history_visible", "created_at", "updated_at",
}  # fmt: skip


# --- Direct -----------------------------------------------------------------------------------------------------------


def test_two_people_have_one_direct_conversation_whoever_opens_it(alice, bob):
    first = api(alice).post(CONVERSATIONS, {"kind": "direct", "user_id": bob.pk})
    again = api(alice).post(CONVERSATIONS, {"kind": "direct", "user_id": bob.pk})
    other = api(bob).post(CONVERSATIONS, {"kind": "direct", "user_id": alice.pk})
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 200]
    assert first.json()["uuid"] == again.json()["uuid"] == other.json()["uuid"]
    assert Conversation.objects.count() == 1


def test_a_new_conversation_shows_everything_the_contract_names(alice, bob):
    conversation = direct(alice, bob)
    assert set(conversation) == ROW | {"description"}
    assert conversation["kind"] == "direct"
    assert conversation["members_count"] == 2
    assert {member["user"]["username"] for member in conversation["members"]} == {"alice", "bob"}
    assert set(conversation["members"][0]) == {"user", "role", "seen_seq", "joined_at", "online", "last_seen_at"}
    assert set(conversation["members"][0]["user"]) == {"id", "username", "first_name", "last_name"}
    assert conversation["last_message"] is None
    assert (conversation["unread_count"], conversation["mention_count"]) == (0, 0)
    assert conversation["muted_until"] is None
    assert conversation["created_at"].endswith("Z")


def test_the_log_starts_with_the_creation_and_everybody_joining(alice, bob, charlie):
    assert events(direct(alice, bob)) == [(1, "conversation.created"), (2, "member.joined"), (3, "member.joined")]
    kinds = [kind for _seq, kind in events(group(alice, bob, charlie))]
    assert kinds == ["conversation.created", *["member.joined"] * 3]


def test_nobody_talks_to_themselves(alice):
    answer = api(alice).post(CONVERSATIONS, {"kind": "direct", "user_id": alice.pk})
    assert codes(answer, "user_id") == ["self"]


def test_unknown_and_inactive_people_do_not_exist(alice, person):
    gone = person("dora", is_active=False)
    for user_id in (gone.pk, 999_999, 2**63 - 1, 0):
        assert refused(api(alice).post(CONVERSATIONS, {"kind": "direct", "user_id": user_id}), 404, "not_found")
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("user_id", ["7", "abc", None, True, 1.5, [], {}, 2**63, -1, 10**40])
def test_an_id_that_is_no_id_is_refused(alice, user_id):
    assert codes(api(alice).post(CONVERSATIONS, {"kind": "direct", "user_id": user_id}), "user_id")


@pytest.mark.parametrize("kind", ["channel", "", None, 5, ["direct"], {}])
def test_an_unknown_kind_is_refused(alice, kind):
    assert codes(api(alice).post(CONVERSATIONS, {"kind": kind, "user_id": 1}), "kind")


@pytest.mark.parametrize("body", [[], "direct", 5, None, [{"kind": "direct"}]])
def test_a_body_that_is_no_object_is_refused(alice, body):
    assert api(alice).post(CONVERSATIONS, body).status_code == 400


# --- Groups -----------------------------------------------------------------------------------------------------------


def test_who_creates_a_group_owns_it(alice, bob):
    conversation = group(alice, bob, title="  Garden  ")
    assert (conversation["title"], conversation["my_role"]) == ("Garden", "owner")
    assert shown(bob, conversation)["my_role"] == "member"
    assert shown(bob, conversation)["history_visible"] is False


def test_repeated_ids_and_ones_own_count_once(alice, bob):
    conversation = group(alice, bob, bob, alice)
    assert conversation["members_count"] == 2


def test_unknown_people_are_named_and_nothing_is_created(alice, bob, person):
    gone = person("dora", is_active=False)
    body = {"kind": "group", "title": "x", "user_ids": [bob.pk, 999_999, gone.pk]}
    answer = api(alice).post(CONVERSATIONS, body)
    assert codes(answer, "user_ids") == ["does_not_exist", "does_not_exist"]
    assert "999999" in answer.content.decode()
    assert not Conversation.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""), ("title", "   "), ("title", None), ("title", 5), ("title", "x" * 101), ("title", ["x"]),
        ("title", "a\x00b"), ("user_ids", None), ("user_ids", "1,2"), ("user_ids", {"a": 1}), ("user_ids", ["x"]),
        ("user_ids", [True]), ("user_ids", [[1]]), ("history_visible", "perhaps"), ("history_visible", 1),
    ],
)  # fmt: skip
def test_a_group_of_wrong_types_is_refused_by_field(alice, bob, field, value):
    body = {"kind": "group", "title": "x", "user_ids": [bob.pk], field: value}
    assert codes(api(alice).post(CONVERSATIONS, body), field)


def test_ten_thousand_members_are_too_many(alice):
    body = {"kind": "group", "title": "x", "user_ids": list(range(1, 10_001))}
    assert codes(api(alice).post(CONVERSATIONS, body), "user_ids")


def test_the_creator_counts_towards_the_limit(alice, bob, charlie, settings):
    settings.CHAT_GROUP_MEMBERS = 2
    body = {"kind": "group", "title": "x", "user_ids": [bob.pk, charlie.pk]}
    assert codes(api(alice).post(CONVERSATIONS, body), "user_ids") == ["too_many_members"]
    assert group(alice, bob)["members_count"] == 2


def test_a_conversation_shows_at_most_twenty_members(alice, person):
    people = [person(f"p{number}") for number in range(25)]
    conversation = group(alice, *people)
    assert conversation["members_count"] == 26
    assert len(conversation["members"]) == 20


# --- Strangers --------------------------------------------------------------------------------------------------------


def test_a_strangers_conversation_does_not_exist(alice, bob, charlie):
    conversation = group(alice, bob)
    for call in (
        api(charlie).get(at(conversation)),
        api(charlie).patch(at(conversation), {"title": "mine"}),
        api(charlie).patch(at(conversation, "settings/"), {"pinned": True}),
        api(charlie).get(at(conversation, "members/")),
        api(charlie).post(at(conversation, "members/"), {"user_ids": [charlie.pk]}),
        api(charlie).patch(at(conversation, f"members/{bob.pk}/"), {"role": "admin"}),
        api(charlie).delete(at(conversation, f"members/{bob.pk}/")),
        api(charlie).post(at(conversation, "leave/")),
        api(charlie).post(at(conversation, "seen/"), {"up_to_seq": 1}),
        api(charlie).get(at(conversation, "messages/")),
    ):
        assert refused(call, 404, "not_found")
    assert api(charlie).get(CONVERSATIONS).json()["results"] == []


def test_nobody_is_let_in_without_signing_in(api):
    for path in ("conversations/", "blocks/", "settings/"):
        assert refused(api.get(f"/api/chat/{path}"), 401, "not_authenticated")


# --- List -------------------------------------------------------------------------------------------------------------


def test_the_list_is_ordered_by_the_last_activity(alice, bob, charlie):
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False) as clock:
        garden = group(alice, bob, title="Garden")
        clock.shift(60)
        kitchen = group(alice, bob, title="Kitchen")
        assert _titles(alice) == ["Kitchen", "Garden"]
        clock.shift(60)
        say(bob, garden)
        assert _titles(alice) == ["Garden", "Kitchen"]
        clock.shift(60)
        api(alice).patch(at(kitchen), {"description": "soup"})
        assert _titles(alice) == ["Kitchen", "Garden"]


def _titles(user, query=""):
    return [row["title"] for row in api(user).get(f"{CONVERSATIONS}{query}").json()["results"]]


def test_a_row_of_the_list_has_the_keys_of_the_contract(alice, bob):
    group(alice, bob)
    (row,) = api(alice).get(CONVERSATIONS).json()["results"]
    assert set(row) == ROW


def test_pages_follow_one_another_without_loss(alice, bob):
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False):  # all at the same instant: ties must not be lost
        for number in range(7):
            group(alice, bob, title=f"g{number}")
    page = api(alice).get(f"{CONVERSATIONS}?limit=3").json()
    assert set(page) == {"next", "previous", "results"}
    seen = [row["title"] for row in page["results"]]
    while page["next"]:
        page = api(alice).get(page["next"]).json()
        seen += [row["title"] for row in page["results"]]
    assert seen == [f"g{number}" for number in reversed(range(7))]
    assert page["previous"]


@pytest.mark.parametrize(
    "cursor", ["x", "cD1hYmM=", "cD0lMDA=", "bz0tMQ==", "é", "cD0xMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="]
)
def test_a_cursor_that_is_none_is_not_found(alice, bob, cursor):
    conversation = group(alice, bob)
    for path in (CONVERSATIONS, at(conversation, "members/"), "/api/chat/blocks/"):
        assert api(alice).get(path, {"cursor": cursor}).status_code in (200, 404)


def test_a_limit_beyond_a_hundred_is_a_hundred(alice, bob):
    group(alice, bob)
    for limit in ("1", "100", "101", "1000000", "9" * 40, ""):
        assert len(api(alice).get(CONVERSATIONS, {"limit": limit}).json()["results"]) == 1
    for limit in ("0", "-1", "x", "1.5", "null", "²"):
        assert codes(api(alice).get(CONVERSATIONS, {"limit": limit}), "limit") == ["invalid"]


def test_archived_conversations_stand_apart_and_only_for_oneself(alice, bob):
    garden, _kitchen = group(alice, bob, title="Garden"), group(alice, bob, title="Kitchen")
    answer = api(alice).patch(at(garden, "settings/"), {"archived": True})
    assert answer.json()["archived"] is True
    assert _titles(alice) == ["Kitchen"]
    assert _titles(alice, "?archived=false") == ["Kitchen"]
    assert _titles(alice, "?archived=true") == ["Garden"]
    assert _titles(alice, "?archived=&q=") == ["Kitchen"]
    assert set(_titles(bob)) == {"Garden", "Kitchen"}
    assert codes(api(alice).get(f"{CONVERSATIONS}?archived=perhaps"), "archived")


def test_search_finds_titles_and_the_names_of_others(alice, bob, charlie, person):
    group(alice, bob, title="Garden")
    group(alice, charlie, title="100% Kitchen")
    direct(alice, person("dora", first_name="Dora", last_name="Marquez"))
    assert _titles(alice, "?q=gard") == ["Garden"]
    assert _titles(alice, "?q=CHARLIE") == ["100% Kitchen"]
    assert _titles(alice, "?q=dora%20marq") == [""]
    assert _titles(alice, "?q=100%25") == ["100% Kitchen"]
    assert _titles(alice, "?q=alice") == []  # one's own name is in all of them
    assert len(_titles(alice, "?q=")) == 3
    assert _titles(bob, "?q=kitchen") == []
    assert codes(api(alice).get(f"{CONVERSATIONS}?q=%00"), "q")
    assert codes(api(alice).get(CONVERSATIONS, {"q": "x" * 101}), "q")


# --- Change -----------------------------------------------------------------------------------------------------------


def test_owner_and_admin_rename_a_group_and_all_hear_of_it(alice, bob, charlie):
    conversation = group(alice, bob, charlie)
    api(alice).patch(at(conversation, f"members/{bob.pk}/"), {"role": "admin"})
    answer = api(bob).patch(at(conversation), {"title": "Roof", "description": "above", "history_visible": True})
    assert answer.status_code == 200
    assert (answer.json()["title"], answer.json()["description"]) == ("Roof", "above")
    assert shown(charlie, conversation)["title"] == "Roof"
    assert events(conversation)[-1][1] == "conversation.updated"


def test_a_change_that_changes_nothing_is_no_event(alice, bob):
    conversation = group(alice, bob)
    assert api(alice).patch(at(conversation), {"title": "Garden", "unknown": 1}).status_code == 200
    assert api(alice).patch(at(conversation), {}).status_code == 200
    assert len(events(conversation)) == 3


def test_members_do_not_rename_and_nobody_renames_a_direct_conversation(alice, bob):
    assert refused(api(bob).patch(at(group(alice, bob)), {"title": "mine"}), 403, "permission_denied")
    assert refused(api(alice).patch(at(direct(alice, bob)), {"title": "us"}), 403, "permission_denied")


@pytest.mark.parametrize(
    ("field", "value"),
    [("title", ""), ("title", 7), ("description", "x" * 501), ("description", 1), ("history_visible", "yes")],
)  # fmt: skip
def test_a_change_of_wrong_types_is_refused(alice, bob, field, value):
    conversation = group(alice, bob)
    assert codes(api(alice).patch(at(conversation), {field: value}), field)
    assert len(events(conversation)) == 3


def test_settings_are_personal_and_no_event(alice, bob):
    conversation = group(alice, bob)
    until = "2026-12-01T10:00:00.000Z"
    answer = api(bob).patch(at(conversation, "settings/"), {"muted_until": until, "pinned": True})
    assert (answer.json()["muted_until"], answer.json()["pinned"]) == (until, True)
    assert api(bob).patch(at(conversation, "settings/"), {"muted_until": None}).json()["muted_until"] is None
    assert shown(bob, conversation)["pinned"] is True
    assert shown(alice, conversation)["pinned"] is False
    assert len(events(conversation)) == 3


def test_what_a_conversation_may_push_is_personal(alice, bob):
    conversation = group(alice, bob)
    assert api(bob).get(at(conversation, "settings/")).json() == {
        "muted_until": None,
        "pinned": False,
        "archived": False,
        "notify": "all",
    }
    for notify in ("mentions", "none", "all", "mentions"):
        answer = api(bob).patch(at(conversation, "settings/"), {"notify": notify})
        assert (answer.status_code, answer.json()["notify"]) == (200, notify)
    assert api(bob).get(at(conversation, "settings/")).json()["notify"] == "mentions"
    assert api(alice).get(at(conversation, "settings/")).json()["notify"] == "all"


def test_a_stranger_reads_no_settings(alice, bob, charlie):
    assert refused(api(charlie).get(at(group(alice, bob), "settings/")), 404, "not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [("notify", "some"), ("notify", 1), ("notify", []),
     ("muted_until", "tomorrow"), ("muted_until", 5), ("muted_until", "2026-13-01T00:00:00Z"), ("muted_until", True),
     ("muted_until", "0001-01-01T00:00:00+23:00"), ("pinned", "yes"), ("archived", 1)],
)  # fmt: skip
def test_settings_of_wrong_types_are_refused(alice, bob, field, value):
    assert codes(api(alice).patch(at(group(alice, bob), "settings/"), {field: value}), field)


def test_all_chat_calls_of_a_person_share_one_rate(alice, bob, settings):
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "chat": "3/min"}
    with time_machine.travel("2026-11-21T10:00:00Z", tick=False):
        for path in ("conversations/", "settings/", "blocks/"):
            assert api(alice).get(f"/api/chat/{path}").status_code == 200
        late = api(alice).get("/api/chat/settings/")
        assert refused(late, 429, "throttled")
        assert late["Retry-After"]
        assert api(bob).get("/api/chat/settings/").status_code == 200


# --- What is said -----------------------------------------------------------------------------------------------------


def test_unread_counts_messages_and_nothing_else(alice, bob, charlie):
    conversation = group(alice, bob)
    say(alice, conversation, "one")
    say(alice, conversation, "two")
    api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
    api(alice).patch(at(conversation), {"title": "Roof"})
    assert shown(bob, conversation)["unread_count"] == 2
    assert shown(alice, conversation)["unread_count"] == 0  # sending marks as seen
    assert shown(charlie, conversation)["unread_count"] == 0  # what was before does not count
    say(bob, conversation, "three")
    assert [shown(user, conversation)["unread_count"] for user in (alice, bob, charlie)] == [1, 0, 1]


def test_the_last_message_is_shown_as_the_reader_may_see_it(alice, bob, charlie):
    conversation = group(alice, bob)
    said = say(alice, conversation, "secret of before")
    assert shown(bob, conversation)["last_message"]["uuid"] == said["uuid"]
    api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
    assert shown(charlie, conversation)["last_message"] is None
    (row,) = api(charlie).get(CONVERSATIONS).json()["results"]
    assert row["last_message"] is None


def test_opening_the_history_opens_it_to_who_is_there(alice, bob, charlie):
    conversation = group(alice, bob)
    say(alice, conversation, "before")
    api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
    assert api(charlie).get(at(conversation, "messages/")).json()["results"] == []
    api(alice).patch(at(conversation), {"history_visible": True})
    assert len(api(charlie).get(at(conversation, "messages/")).json()["results"]) == 1


def test_mentions_are_counted_until_they_are_seen(alice, bob, charlie):
    conversation = group(alice, bob, charlie)
    say(alice, conversation, "hello @bob")
    last = say(alice, conversation, "@bob again, and nobody else")
    assert shown(bob, conversation)["mention_count"] == 2
    assert shown(charlie, conversation)["mention_count"] == 0
    seen = api(bob).post(at(conversation, "seen/"), {"up_to_seq": last["seq"]})
    assert seen.json()["mention_count"] == 0
    assert shown(bob, conversation)["mention_count"] == 0
