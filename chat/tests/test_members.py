"""Who is in a group: add, remove, leave, promote, hand over."""

import pytest

from chat.models import Membership
from chat.rest import message_views
from chat.tests.calls import api, at, codes, direct, events, group, refused, roles, say, shown


def add(user, conversation, *people):
    return api(user).post(at(conversation, "members/"), {"user_ids": [person.pk for person in people]})


def make(user, conversation, person, role):
    return api(user).patch(at(conversation, f"members/{person.pk}/"), {"role": role})


def remove(user, conversation, person):
    return api(user).delete(at(conversation, f"members/{person.pk}/"))


def leave(user, conversation):
    return api(user).post(at(conversation, "leave/"))


def test_owners_and_admins_add_people(alice, bob, charlie, person):
    conversation = group(alice, bob)
    assert add(alice, conversation, charlie).status_code == 200
    make(alice, conversation, charlie, "admin")
    answer = add(charlie, conversation, person("dora"))
    assert (answer.status_code, answer.json()["members_count"]) == (200, 4)
    assert events(conversation)[-1][1] == "member.joined"


def test_members_add_nobody(alice, bob, charlie):
    conversation = group(alice, bob)
    assert refused(add(bob, conversation, charlie), 403, "permission_denied")
    assert shown(alice, conversation)["members_count"] == 2


def test_who_is_a_member_already_stays_as_they_are(alice, bob):
    conversation = group(alice, bob)
    make(alice, conversation, bob, "admin")
    before = events(conversation)
    assert add(alice, conversation, bob, alice).status_code == 200
    assert events(conversation) == before
    assert roles(alice, conversation) == {"alice": "owner", "bob": "admin"}


def test_unknown_people_are_named_and_nobody_is_added(alice, bob, charlie):
    conversation = group(alice, bob)
    answer = api(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk, 999_999]})
    assert codes(answer, "user_ids") == ["does_not_exist"]
    assert shown(alice, conversation)["members_count"] == 2


@pytest.mark.parametrize("user_ids", [None, "1", 5, {"a": 1}, ["x"], [None], [True], [1.5], list(range(1001))])
def test_ids_of_wrong_types_are_refused(alice, bob, user_ids):
    assert codes(api(alice).post(at(group(alice, bob), "members/"), {"user_ids": user_ids}), "user_ids")


def test_a_full_group_takes_nobody(alice, bob, charlie, settings):
    settings.CHAT_GROUP_MEMBERS = 2
    assert codes(add(alice, group(alice, bob), charlie), "user_ids") == ["too_many_members"]
    settings.CHAT_GROUP_MEMBERS = 0  # no limit
    assert add(alice, group(alice, bob), charlie).status_code == 200


def test_a_direct_conversation_has_its_two_and_keeps_them(alice, bob, charlie):
    conversation = direct(alice, bob)
    for call in (
        add(alice, conversation, charlie),
        remove(alice, conversation, bob),
        leave(alice, conversation),
        make(alice, conversation, bob, "admin"),
    ):
        assert refused(call, 403, "permission_denied")
    assert shown(alice, conversation)["members_count"] == 2


def test_who_joins_sees_from_there_on(alice, bob, charlie):
    conversation = group(alice, bob)
    say(alice, conversation, "before")
    add(alice, conversation, charlie)
    after = say(alice, conversation, "after")
    history = api(charlie).get(at(conversation, "messages/")).json()["results"]
    assert [message["uuid"] for message in history] == [after["uuid"]]


def test_a_visible_history_is_there_for_who_joins(alice, bob, charlie):
    conversation = group(alice, bob, history_visible=True)
    say(alice, conversation, "before")
    add(alice, conversation, charlie)
    assert len(api(charlie).get(at(conversation, "messages/")).json()["results"]) == 1
    assert shown(charlie, conversation)["unread_count"] == 0


def test_who_left_finds_nothing_and_may_come_back_as_a_member(alice, bob):
    conversation = group(alice, bob)
    make(alice, conversation, bob, "admin")
    say(alice, conversation, "before")
    assert leave(bob, conversation).json() == {"success": True}
    assert refused(api(bob).get(at(conversation)), 404, "not_found")
    assert refused(leave(bob, conversation), 404, "not_found")
    say(alice, conversation, "between")
    assert add(alice, conversation, bob).status_code == 200
    assert shown(bob, conversation)["my_role"] == "member"
    assert shown(bob, conversation)["unread_count"] == 0
    assert api(bob).get(at(conversation, "messages/")).json()["results"] == []
    assert Membership.objects.filter(user=bob).count() == 1


def test_removing(alice, bob, charlie, person):
    dora = person("dora")
    conversation = group(alice, bob, charlie, dora)
    make(alice, conversation, bob, "admin")
    make(alice, conversation, charlie, "admin")
    assert refused(remove(dora, conversation, charlie), 403, "permission_denied")
    assert refused(remove(bob, conversation, charlie), 403, "permission_denied")
    assert refused(remove(bob, conversation, alice), 403, "permission_denied")
    assert remove(bob, conversation, dora).status_code == 204
    assert refused(remove(bob, conversation, dora), 404, "not_found")
    assert remove(alice, conversation, charlie).status_code == 204
    assert roles(alice, conversation) == {"alice": "owner", "bob": "admin"}
    assert [kind for _seq, kind in events(conversation)][-2:] == ["member.left", "member.left"]


def test_removing_oneself_is_leaving(alice, bob):
    conversation = group(alice, bob)
    assert remove(bob, conversation, bob).status_code == 204
    assert roles(alice, conversation) == {"alice": "owner"}


def test_nothing_after_the_removal_is_seen(alice, bob):
    conversation = group(alice, bob)
    said = say(alice, conversation)
    remove(alice, conversation, bob)
    assert refused(api(bob).post(at(conversation, "seen/"), {"up_to_seq": 1}), 404, "not_found")
    assert refused(api(bob).put(f"/api/chat/messages/{said['uuid']}/reactions/👍/"), 404, "not_found")
    assert api(bob).get("/api/chat/conversations/").json()["results"] == []


def test_only_owners_give_roles(alice, bob, charlie):
    conversation = group(alice, bob, charlie)
    assert make(alice, conversation, bob, "admin").json()["role"] == "admin"
    assert refused(make(bob, conversation, charlie, "admin"), 403, "permission_denied")
    assert refused(make(bob, conversation, bob, "owner"), 403, "permission_denied")
    assert refused(make(charlie, conversation, charlie, "admin"), 403, "permission_denied")
    assert make(alice, conversation, bob, "member").json()["role"] == "member"
    assert [kind for _seq, kind in events(conversation)][-2:] == ["member.role_changed"] * 2


def test_the_same_role_again_is_no_event(alice, bob):
    conversation = group(alice, bob)
    before = events(conversation)
    assert make(alice, conversation, bob, "member").status_code == 200
    assert events(conversation) == before


@pytest.mark.parametrize("role", ["king", "", None, 5, ["admin"], True])
def test_an_unknown_role_is_refused(alice, bob, role):
    conversation = group(alice, bob)
    assert codes(make(alice, conversation, bob, role), "role")


def test_a_role_for_nobody_is_not_found(alice, bob, charlie):
    conversation = group(alice, bob)
    assert refused(make(alice, conversation, charlie, "admin"), 404, "not_found")
    answer = api(alice).patch(at(conversation, f"members/{10**30}/"), {"role": "admin"})
    assert refused(answer, 404, "not_found")


def test_a_group_is_handed_over(alice, bob):
    conversation = group(alice, bob)
    assert make(alice, conversation, bob, "owner").json()["role"] == "owner"
    assert make(alice, conversation, alice, "member").json()["role"] == "member"
    assert roles(alice, conversation) == {"alice": "member", "bob": "owner"}


def test_the_last_owner_cannot_step_down_without_an_heir(alice, bob):
    conversation = group(alice, bob)
    assert codes(make(alice, conversation, alice, "member"), "role") == ["last_owner"]
    assert roles(alice, conversation)["alice"] == "owner"


def test_the_last_owner_is_followed_by_the_longest_standing_admin(alice, bob, charlie, person):
    dora = person("dora")
    conversation = group(alice, bob)
    add(alice, conversation, charlie)
    add(alice, conversation, dora)
    make(alice, conversation, dora, "admin")
    make(alice, conversation, charlie, "admin")
    leave(alice, conversation)
    assert roles(bob, conversation) == {"bob": "member", "charlie": "owner", "dora": "admin"}
    assert [kind for _seq, kind in events(conversation)][-2:] == ["member.left", "member.role_changed"]


def test_without_admins_the_longest_standing_member_follows(alice, bob, charlie):
    conversation = group(alice, charlie)
    add(alice, conversation, bob)
    leave(alice, conversation)
    assert roles(bob, conversation) == {"bob": "member", "charlie": "owner"}


def test_another_owner_is_enough(alice, bob, charlie):
    conversation = group(alice, bob, charlie)
    make(alice, conversation, charlie, "owner")
    leave(alice, conversation)
    assert roles(bob, conversation) == {"bob": "member", "charlie": "owner"}


def test_the_last_member_leaves_an_empty_group(alice):
    conversation = group(alice)
    assert leave(alice, conversation).status_code == 200
    assert refused(api(alice).get(at(conversation)), 404, "not_found")


def test_the_members_list_comes_in_pages(alice, person):
    conversation = group(alice, *[person(f"p{number}") for number in range(4)])
    page = api(alice).get(at(conversation, "members/?limit=2")).json()
    names = [row["user"]["username"] for row in page["results"]]
    while page["next"]:
        page = api(alice).get(page["next"]).json()
        names += [row["user"]["username"] for row in page["results"]]
    assert names == ["alice", "p0", "p1", "p2", "p3"]


# --- Receipts ---------------------------------------------------------------------------------------------------------


def seen(user, conversation, up_to_seq):
    return api(user).post(at(conversation, "seen/"), {"up_to_seq": up_to_seq})


def test_seen_goes_forward_only_and_not_beyond_the_head(alice, bob):
    conversation = group(alice, bob)
    first, second = say(alice, conversation), say(alice, conversation)
    assert seen(bob, conversation, first["seq"]).json() == {
        "conversation_uuid": conversation["uuid"],
        "seen_seq": first["seq"],
        "unread_count": 1,
        "mention_count": 0,
    }
    assert seen(bob, conversation, 0).json()["seen_seq"] == first["seq"]
    assert seen(bob, conversation, 2**63 - 1).json()["seen_seq"] == second["seq"]
    assert shown(bob, conversation)["unread_count"] == 0


@pytest.mark.parametrize("up_to_seq", [None, "3", -1, 1.5, True, [], 2**63])
def test_a_seq_that_is_none_is_refused(alice, bob, up_to_seq):
    assert codes(seen(bob, group(alice, bob), up_to_seq), "up_to_seq")


def test_who_has_seen_what_is_in_the_members_list(alice, bob):
    conversation = group(alice, bob)
    said = say(alice, conversation)
    seen(bob, conversation, said["seq"])
    rows = api(alice).get(at(conversation, "members/")).json()["results"]
    assert {row["user"]["username"]: row["seen_seq"] for row in rows} == {"alice": said["seq"], "bob": said["seq"]}


def test_who_shares_no_receipts_shows_none_to_others(alice, bob):
    conversation = group(alice, bob)
    said = say(alice, conversation)
    api(bob).patch("/api/chat/settings/", {"share_receipts": False})
    seen(bob, conversation, said["seq"])
    assert _of(alice, conversation, "bob")["seen_seq"] is None
    assert _of(bob, conversation, "bob")["seen_seq"] == said["seq"]


def _of(viewer, conversation, username):
    rows = api(viewer).get(at(conversation, "members/")).json()["results"]
    return next(row for row in rows if row["user"]["username"] == username)


def test_a_page_that_meets_a_removal_shows_nothing_of_after_it(alice, bob, monkeypatch):
    """Membership was read, then the member was removed and something was said, then the messages are read."""
    conversation = group(alice, bob)
    say(alice, conversation, "before")
    real = message_views.access.member_of

    def removed_right_after(*args):
        membership = real(*args)
        monkeypatch.setattr(message_views.access, "member_of", real)
        remove(alice, conversation, bob)
        say(alice, conversation, "after bob is gone")
        return membership

    monkeypatch.setattr(message_views.access, "member_of", removed_right_after)
    answer = api(bob).get(at(conversation, "messages/"))
    assert "after bob is gone" not in answer.content.decode()
    assert api(bob).get(at(conversation, "messages/")).status_code == 404
