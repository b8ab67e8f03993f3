"""What lies before a member's first visible message stays hidden from them over REST.

alice owns a group without visible history, bob has been in it all along, charlie joins late or comes back.
"""

from chat import receivers
from chat.tests.calls import BASE, api, at, codes, group, refused, say, shown

SECRET = "before you came"


def test_a_reply_quotes_nothing_of_before(alice, bob, charlie):
    room = group(alice, bob)
    secret = say(alice, room, SECRET)
    api(alice).post(at(room, "members/"), {"user_ids": [charlie.pk]})
    answer = say(bob, room, "an answer", reply_to=secret["uuid"])
    hidden = {"uuid": secret["uuid"], "sender": None, "excerpt": ""}
    page = api(charlie).get(at(room, "messages/")).json()["results"]
    assert [row["reply_to"] for row in page] == [hidden]
    assert shown(charlie, room)["last_message"]["reply_to"] == hidden
    reacted = api(charlie).put(f"{BASE}messages/{answer['uuid']}/reactions/👍/").json()
    assert reacted["reply_to"] == hidden
    assert shown(bob, room)["last_message"]["reply_to"]["excerpt"] == SECRET


def test_a_hidden_message_is_changed_by_nobody_and_reported_by_nobody(alice, bob, charlie):
    room = group(alice, bob)
    secret = say(alice, room, SECRET)
    api(alice).post(at(room, "members/"), {"user_ids": [charlie.pk]})
    api(alice).patch(at(room, f"members/{charlie.pk}/"), {"role": "admin"})
    path = f"{BASE}messages/{secret['uuid']}/"
    for answer in (
        api(charlie).put(f"{path}reactions/👍/"),
        api(charlie).delete(path),
        api(charlie).patch(path, {"content": "x"}),
        api(charlie).post(f"{BASE}reports/", {"message_uuid": secret["uuid"], "reason": "x"}),
    ):
        assert refused(answer, 404, "not_found")
    answer = api(charlie).post(at(room, "messages/"), {"content": "re", "reply_to": secret["uuid"]})
    assert codes(answer, "reply_to") == ["does_not_exist"]


def test_a_repeat_from_an_earlier_membership_tells_nothing_new(alice, bob, charlie):
    room = group(alice, bob, charlie)
    mine = say(charlie, room, "mine")
    api(charlie).patch(f"{BASE}messages/{mine['uuid']}/", {"content": "mine, changed"})
    api(alice).delete(at(room, f"members/{charlie.pk}/"))
    api(bob).put(f"{BASE}messages/{mine['uuid']}/reactions/👎/")
    api(alice).post(at(room, "members/"), {"user_ids": [charlie.pk]})
    body = {"content": "mine", "client_msg_id": mine["client_msg_id"]}
    answer = api(charlie).post(at(room, "messages/"), body)
    assert answer.status_code == 200
    assert (answer.json()["content"], answer.json()["reactions"], answer.json()["edited_at"]) == ("mine", [], None)


def test_nothing_of_before_counts_as_unread(alice, bob, charlie):
    room = group(alice, bob, charlie)
    say(alice, room, "one")
    api(alice).delete(at(room, f"members/{charlie.pk}/"))
    say(alice, room, "@charlie two")
    api(alice).post(at(room, "members/"), {"user_ids": [charlie.pk]})
    seen = shown(charlie, room)
    assert (seen["unread_count"], seen["mention_count"], seen["last_message"]) == (0, 0, None)


def test_the_export_knows_a_left_group_by_the_title_it_had(alice, bob, charlie):
    room = group(alice, bob, charlie, title="Garden")
    api(alice).patch(at(room), {"title": "Greenhouse"})
    api(alice).delete(at(room, f"members/{charlie.pk}/"))
    api(alice).patch(at(room), {"title": "Without charlie"})
    titles = {person: receivers.export(person.pk)["chat"]["conversations"][0]["title"] for person in (bob, charlie)}
    assert titles == {bob: "Without charlie", charlie: "Greenhouse"}
