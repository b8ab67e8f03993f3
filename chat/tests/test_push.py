"""A message wakes the devices that nobody is looking at, and nobody else's."""

import datetime
import uuid

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from chat.log.published import Encoded, Published
from chat.models import Conversation, Membership
from chat.push import collect, decide, tasks
from chat.tests.calls import BASE, at, direct, group, say
from sessions.models import PushRegistration, UserSession
from sessions.places import sockets
from sessions.push import delivery, endpoints, http, vapid
from sessions.services import lifecycle
from tests.push_services import Browser, check_vapid, service

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback_allowed(settings):
    settings.PUSH_PRIVATE_ENDPOINTS = True
    settings.PUSH_CONCURRENCY = 1
    settings.PUSH_TIMEOUT = 2
    delivery.breaker.clear()
    http.pool.cache_clear()
    yield
    http.pool.cache_clear()


@pytest.fixture
def push_service():
    with service() as running:
        yield running


@pytest.fixture
def register(push_service):
    """Register a browser for a signed-in client: `browser = register(client, show="full")`."""

    def register(client, show="full", at=push_service):
        browser = Browser(at)
        sid = client.started.user_session.session_token
        body = {"provider": "webpush", "subscription": browser.subscription, "show": show}
        answer = client.put(f"/api/users/sessions/{sid}/push/", body)
        assert answer.status_code == 200, answer.content
        return browser

    return register


def due():
    return DBTaskResult.objects.ready().count()


def look(client, conversation):
    """Open a socket, as far as anybody else can tell."""
    sockets.opened(client.started.user_session.session_token, "c1")


# --- Who gets one -----------------------------------------------------------------------------------------------------


def test_a_message_reaches_the_phone_that_is_away(alice, bob, bob_api, register, run_tasks):
    conversation = direct(alice, bob)
    phone = register(bob_api)
    message = say(alice, conversation, "Hello  Bob,\nare you there?")
    run_tasks()
    assert phone.pushes == [
        {
            "conversation_uuid": conversation["uuid"],
            "seq": message["seq"],
            "badge": 1,
            "title": "alice",
            "body": "Hello Bob, are you there?",
            "sender": {"id": alice.pk, "username": "alice", "first_name": "", "last_name": ""},
        }
    ]


def test_the_push_service_is_told_who_we_are_and_reads_nothing(alice, bob, bob_api, register, run_tasks, push_service):
    phone = register(bob_api)
    say(alice, direct(alice, bob), "secret")
    run_tasks()
    (asked,) = push_service.asked
    check_vapid(asked, origin=push_service.url, public_key=vapid.public_key())
    assert b"secret" not in asked.body
    assert asked.headers["urgency"] == "high"
    assert phone.read(asked)["body"] == "secret"


@pytest.mark.parametrize(
    ("show", "keys", "said"),
    [
        ("nothing", {"conversation_uuid", "seq", "badge"}, []),
        ("sender", {"conversation_uuid", "seq", "badge", "title", "body", "sender"}, ["alice"]),
        ("full", {"conversation_uuid", "seq", "badge", "title", "body", "sender"}, ["alice", "tomatoes"]),
    ],
)
def test_a_push_says_what_the_device_wants_it_to(alice, bob, bob_api, register, run_tasks, show, keys, said):
    phone = register(bob_api, show=show)
    say(alice, group(alice, bob), "the tomatoes are ripe")
    run_tasks()
    (pushed,) = phone.pushes
    assert set(pushed) == keys
    for word in ("alice", "tomatoes"):
        assert (word in str(pushed)) is (word in said)


def test_nobody_is_pushed_their_own_words_or_those_of_strangers(
    alice, alice_api, bob, bob_api, charlie_api, register, run_tasks
):
    conversation = direct(alice, bob)
    mine, theirs, strangers = register(alice_api), register(bob_api), register(charlie_api)
    say(alice, conversation)
    run_tasks()
    assert [len(one.asked) for one in (mine, theirs, strangers)] == [0, 1, 0]


def test_a_session_with_an_open_socket_needs_no_push_but_another_one_does(
    alice, bob, bob_api, sign_in, register, run_tasks
):
    conversation = direct(alice, bob)
    tablet = sign_in(bob)
    phone, other = register(bob_api), register(tablet)
    look(bob_api, conversation)
    say(alice, conversation)
    run_tasks()
    assert [len(phone.asked), len(other.asked)] == [0, 1]
    sockets.closed(bob_api.started.user_session.session_token, "c1")
    say(alice, conversation)
    run_tasks()
    assert [len(phone.asked), len(other.asked)] == [1, 2]


@pytest.mark.parametrize(
    ("setting", "plain", "mention"),
    [
        ({}, 1, 1),
        ({"notify": "all"}, 1, 1),
        ({"notify": "mentions"}, 0, 1),
        ({"notify": "none"}, 0, 0),
        ({"muted_until": "2099-01-01T00:00:00Z"}, 0, 0),
        ({"muted_until": "2020-01-01T00:00:00Z"}, 1, 1),
        ({"muted_until": "2099-01-01T00:00:00Z", "notify": "mentions"}, 0, 0),
    ],
)
def test_each_conversation_pushes_what_its_member_wants(
    alice, bob, bob_api, charlie, charlie_api, register, run_tasks, setting, plain, mention
):
    conversation = group(alice, bob, charlie)
    other = direct(alice, bob)  # whose settings must not count here
    bob_api.patch(at(other, "settings/"), {"notify": "none", "muted_until": "2099-01-01T00:00:00Z"})
    bob_api.patch(at(conversation, "settings/"), setting)
    phone, control = register(bob_api), register(charlie_api)
    for text, expected in (("hello", plain), ("hello @bob", mention)):
        before = len(phone.asked), len(control.asked)
        say(alice, conversation, text)
        run_tasks()
        assert (len(phone.asked) - before[0], len(control.asked) - before[1]) == (expected, 1)


def test_the_switch_of_the_profile_ends_all_pushes(alice, bob, bob_api, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    assert bob_api.patch("/api/users/me/", {"push_notifications": False}).status_code == 200
    say(alice, conversation)
    run_tasks()
    assert phone.asked == []
    bob_api.patch("/api/users/me/", {"push_notifications": True})
    say(alice, conversation)
    run_tasks()
    assert len(phone.asked) == 1


@pytest.mark.parametrize(
    ("zone", "now", "quiet"),
    [
        ("Africa/Algiers", "2026-11-26T20:59:00Z", False),  # 21:59 there
        ("Africa/Algiers", "2026-11-26T21:00:00Z", True),
        ("Africa/Algiers", "2026-11-27T05:59:59Z", True),
        ("Africa/Algiers", "2026-11-27T06:00:00Z", False),
        ("Asia/Tokyo", "2026-11-26T13:00:00Z", True),
        ("Asia/Tokyo", "2026-11-26T22:30:00Z", False),
        ("No/Where", "2026-11-26T22:30:00Z", True),
    ],
)
def test_quiet_hours_are_those_of_the_profiles_time_zone(alice, bob, bob_api, register, run_tasks, zone, now, quiet):
    conversation, phone = direct(alice, bob), register(bob_api)
    bob_api.patch(f"{BASE}settings/", {"quiet_hours": {"from": "22:00", "to": "07:00"}})
    get_user_model().objects.filter(pk=bob.pk).update(timezone=zone)
    UserSession.objects.update(
        expires_at=datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC),
        idle_expires_at=datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC),
    )
    with time_machine.travel(now, tick=False):
        say(alice, conversation)
        run_tasks()
    assert len(phone.asked) == (0 if quiet else 1)


def test_quiet_hours_within_a_day():
    hours = {"from": datetime.time(12, 0), "to": datetime.time(14, 0)}
    for hour, quiet in ((11, False), (12, True), (13, True), (14, False)):
        member = decide._Member(None, 1, 0, "all", "UTC", hours["from"], hours["to"])  # type: ignore[arg-type]
        now = datetime.datetime(2026, 11, 26, hour, tzinfo=datetime.UTC)
        assert decide.is_quiet(member, at=now) is quiet


# --- What is not told -------------------------------------------------------------------------------------------------


def test_whom_one_blocks_wakes_no_phone_of_ones_own(alice, bob, bob_api, charlie, charlie_api, register, run_tasks):
    conversation = group(alice, bob, charlie)
    phone, control = register(bob_api), register(charlie_api)
    bob_api.post(f"{BASE}blocks/", {"user_id": alice.pk})
    say(alice, conversation, "hello @bob")
    run_tasks()
    assert (len(phone.asked), len(control.asked)) == (0, 1)


def test_who_joins_later_or_left_is_told_nothing_of_what_they_do_not_see(
    alice, bob, bob_api, charlie, charlie_api, register, run_tasks
):
    conversation = group(alice, bob)
    phone, late = register(bob_api), register(charlie_api)
    say(alice, conversation, "before charlie")
    conversation_id = Conversation.objects.get().pk
    Membership.objects.filter(user=bob).update(left_seq=3)
    answer = api_of(alice).post(at(conversation, "members/"), {"user_ids": [charlie.pk]})
    assert answer.status_code == 200
    run_tasks()
    assert (phone.asked, late.asked) == ([], [])
    assert decide.messages([(conversation_id, 1, 99)]) == []


def api_of(user):
    from chat.tests.calls import api

    return api(user)


def test_what_was_taken_back_before_it_left_is_told_to_nobody(alice, alice_api, bob, bob_api, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    message = say(alice, conversation, "oops")
    alice_api.delete(f"{BASE}messages/{message['uuid']}/")
    run_tasks()
    assert phone.asked == []


def test_no_text_rests_in_a_task(alice, bob, bob_api, register):
    register(bob_api)
    say(alice, direct(alice, bob), "nobody reads this")
    (row,) = DBTaskResult.objects.filter(queue_name="push")
    assert "nobody reads this" not in str(row.args_kwargs)
    assert "http" not in str(row.args_kwargs)


# --- Together ---------------------------------------------------------------------------------------------------------


def test_several_messages_of_a_conversation_are_one_push_with_the_whole_badge(
    alice, bob, bob_api, charlie, register, run_tasks
):
    one, other = direct(alice, bob), direct(charlie, bob)
    for text in ("one", "two"):
        say(alice, one, text)
    say(charlie, other, "three")
    DBTaskResult.objects.all().delete()
    phone = register(bob_api)
    first = say(alice, one, "four")
    say(alice, one, "five")
    ids = dict(Conversation.objects.values_list("uuid", "pk"))
    DBTaskResult.objects.all().delete()
    tasks.wake.enqueue(rooms=[[ids[uuid.UUID(one["uuid"])], first["seq"], first["seq"] + 1]])
    run_tasks()
    (pushed,) = phone.pushes
    assert (pushed["body"], pushed["seq"], pushed["badge"]) == ("five", first["seq"] + 1, 5)


def test_what_was_taken_back_is_in_no_badge(alice, alice_api, bob, bob_api, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    first = say(alice, conversation, "one")
    alice_api.delete(f"{BASE}messages/{first['uuid']}/")
    say(alice, conversation, "two")
    run_tasks()
    assert [pushed["badge"] for pushed in phone.pushes] == [1]


def test_a_later_push_of_the_conversation_replaces_the_earlier_one(alice, bob, bob_api, charlie, register, run_tasks):
    phone = register(bob_api)
    one, other = direct(alice, bob), direct(charlie, bob)
    for sender, conversation in ((alice, one), (alice, one), (charlie, other)):
        say(sender, conversation)
        run_tasks()
    topics = [asked.headers["topic"] for asked in phone.asked]
    assert topics[0] == topics[1] != topics[2]
    assert one["uuid"].replace("-", "") not in topics[0]


def test_seen_on_one_device_clears_the_other(alice, bob, bob_api, sign_in, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    message = say(alice, conversation)
    run_tasks()
    desk = sign_in(bob)
    desk.post(at(conversation, "seen/"), {"up_to_seq": message["seq"]})
    run_tasks()
    assert phone.pushes[1:] == [
        {"conversation_uuid": conversation["uuid"], "seq": message["seq"], "badge": 0, "seen": True}
    ]
    desk.post(at(conversation, "seen/"), {"up_to_seq": message["seq"]})  # nothing shown, nothing to clear
    run_tasks()
    assert len(phone.asked) == 2
    assert phone.asked[0].headers["topic"] == phone.asked[1].headers["topic"]


def test_writing_an_answer_clears_too(alice, bob, bob_api, sign_in, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    say(alice, conversation)
    run_tasks()
    answer = say(bob, conversation, "yes")
    run_tasks()
    assert phone.pushes[1] == {
        "conversation_uuid": conversation["uuid"],
        "seq": answer["seq"],
        "badge": 0,
        "seen": True,
    }


def test_what_was_read_before_the_push_left_is_not_pushed(alice, bob, bob_api, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    message = say(alice, conversation)
    bob_api.post(at(conversation, "seen/"), {"up_to_seq": message["seq"]})
    run_tasks()
    assert phone.asked == []


def test_texts_are_in_the_language_of_who_reads_them(alice, bob, bob_api, register, run_tasks):
    phone = register(bob_api, show="sender")
    conversation = group(alice, bob)
    for language, text in (
        ("fr", "Nouveau message de alice"),
        ("ar", "رسالة جديدة من alice"),
        ("xx", "New message from alice"),
    ):
        get_user_model().objects.filter(pk=bob.pk).update(language=language)
        say(alice, conversation)
        run_tasks()
        assert phone.pushes[-1]["body"] == text


# --- What push services answer ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410])
def test_a_device_that_is_gone_is_forgotten(alice, bob, bob_api, register, run_tasks, push_service, status):
    conversation, phone = direct(alice, bob), register(bob_api)
    push_service.reply = lambda asked: (status, {}, b"")
    say(alice, conversation)
    run_tasks()
    assert len(phone.asked) == 1
    assert not PushRegistration.objects.exists()
    assert due() == 0


def test_429_waits_as_long_as_it_is_told(alice, bob, bob_api, register, run_tasks, push_service):
    conversation, phone = direct(alice, bob), register(bob_api)
    push_service.reply = lambda asked: (429, {"Retry-After": "120"}, b"")
    say(alice, conversation)
    before = timezone.now()
    run_tasks()
    row = DBTaskResult.objects.get(status="READY")
    wait = (row.run_after - before).total_seconds()
    assert 120 <= wait < 150
    push_service.reply = lambda asked: (201, {}, b"")
    with time_machine.travel(row.run_after + datetime.timedelta(seconds=1), tick=False):
        run_tasks()
    assert len(phone.asked) == 2
    assert PushRegistration.objects.exists()


def test_500_is_tried_again_a_few_times_and_no_more(alice, bob, bob_api, register, run_tasks, push_service, settings):
    settings.PUSH_ATTEMPTS = 3
    conversation, phone = direct(alice, bob), register(bob_api)
    push_service.reply = lambda asked: (500, {}, b"")
    say(alice, conversation)
    run_tasks()
    for _ in range(5):
        row = DBTaskResult.objects.filter(status="READY").first()
        if row is not None:
            with time_machine.travel(row.run_after + datetime.timedelta(seconds=1), tick=False):
                run_tasks()
    assert len(phone.asked) == 3
    assert not DBTaskResult.objects.filter(status="READY").exists()
    assert PushRegistration.objects.exists()


def test_before_a_further_attempt_everything_is_decided_anew(alice, bob, bob_api, register, run_tasks, push_service):
    conversation, phone = direct(alice, bob), register(bob_api)
    push_service.reply = lambda asked: (503, {}, b"")
    say(alice, conversation)
    run_tasks()
    bob_api.patch(at(conversation, "settings/"), {"notify": "none"})
    with time_machine.travel(timezone.now() + datetime.timedelta(minutes=5), tick=False):
        run_tasks()
    assert len(phone.asked) == 1


def test_413_leaves_the_words_away(alice, bob, bob_api, register, run_tasks, push_service):
    phone = register(bob_api)
    push_service.reply = lambda asked: (413 if len(phone.asked) == 1 else 201, {}, b"")
    say(alice, direct(alice, bob), "a lot to say")
    run_tasks()
    first, second = phone.pushes
    assert first["body"] == "a lot to say"
    assert set(second) == {"conversation_uuid", "seq", "badge"}


def test_a_redirect_leads_nowhere(alice, bob, bob_api, register, run_tasks, push_service):
    with service() as elsewhere:
        phone = register(bob_api)
        push_service.reply = lambda asked: (307, {"Location": f"{elsewhere.url}/inside"}, b"")
        say(alice, direct(alice, bob))
        run_tasks()
        assert len(phone.asked) == 1
        assert elsewhere.connections == 0
    assert not PushRegistration.objects.exists()


def test_a_service_that_hangs_is_given_up_and_left_alone(
    alice, bob, bob_api, register, run_tasks, push_service, settings
):
    settings.PUSH_TIMEOUT = 1
    conversation, phone = direct(alice, bob), register(bob_api)
    push_service.reply = push_service.hang
    for _ in range(5):
        say(alice, conversation)
        run_tasks()
    assert len(phone.asked) == delivery.Breaker.FAILURES  # the others were not even tried
    assert DBTaskResult.objects.filter(status="READY").count() == 5
    assert PushRegistration.objects.exists()


def test_a_service_that_is_gone_is_asked_again_later(alice, bob, bob_api, register, run_tasks, push_service):
    conversation = direct(alice, bob)
    register(bob_api)
    push_service.stop()
    for waiting in range(1, 6):
        say(alice, conversation)
        run_tasks()
        assert DBTaskResult.objects.filter(status="READY").count() == waiting
    assert not delivery.breaker.held_s(push_service.url)  # a refusal costs nobody's time


def test_the_pauses_between_attempts_grow(alice, bob, bob_api, register, run_tasks, push_service):
    register(bob_api)
    push_service.reply = lambda asked: (500, {}, b"")
    say(alice, direct(alice, bob))
    with time_machine.travel(timezone.now(), tick=False) as clock:
        pauses = []
        run_tasks()
        while row := DBTaskResult.objects.filter(status="READY").first():
            pauses.append((row.run_after - timezone.now()).total_seconds())
            clock.move_to(row.run_after + datetime.timedelta(seconds=1))
            run_tasks()
    assert len(pauses) == 5
    for pause, expected in zip(pauses, (2, 8, 32, 128, 512), strict=True):
        assert expected <= pause <= expected * 1.11


# --- Nothing of ours is reached ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]])
def test_a_name_that_leads_to_ourselves_gets_no_request(
    alice, bob, bob_api, register, run_tasks, push_service, settings, monkeypatch, addresses
):
    conversation = direct(alice, bob)
    register(bob_api)
    port = push_service.server.server_address[1]
    PushRegistration.objects.update(token=f"http://push.example.com:{port}/x")
    settings.PUSH_PRIVATE_ENDPOINTS = False
    asked = []
    monkeypatch.setattr(endpoints, "resolve", lambda host, port: asked.append(host) or addresses)
    say(alice, conversation)
    run_tasks()
    assert asked == ["push.example.com"]
    assert push_service.connections == 0
    assert not PushRegistration.objects.exists()


def test_a_name_is_resolved_once_and_the_answer_is_what_is_connected_to(
    alice, bob, bob_api, register, run_tasks, push_service, monkeypatch
):
    conversation = direct(alice, bob)
    register(bob_api)
    port = push_service.server.server_address[1]
    PushRegistration.objects.update(token=f"http://push.example.com:{port}/x")
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    monkeypatch.setattr(endpoints, "resolve", lambda host, port: next(answers))
    say(alice, conversation)
    run_tasks()
    (asked,) = push_service.asked
    assert asked.headers["host"] == f"push.example.com:{port}"
    assert next(answers) == ["10.0.0.1"]  # nobody asked a second time


# --- The end of a session ---------------------------------------------------------------------------------------------


def test_what_was_queued_before_the_end_of_the_session_is_not_sent(alice, bob, bob_api, register, run_tasks):
    conversation, phone = direct(alice, bob), register(bob_api)
    say(alice, conversation)
    assert due() == 1
    lifecycle.revoke_all(user_id=bob.pk)
    run_tasks()
    assert phone.asked == []


@pytest.mark.parametrize("end", ["revoke", "forget", "expire", "disable"])
def test_the_last_look_is_right_before_the_first_byte(
    alice, bob, bob_api, register, run_tasks, push_service, monkeypatch, end
):
    """The session ends after everything was decided and while the connection is being made."""
    conversation, phone = direct(alice, bob), register(bob_api)
    resolve = endpoints.resolve

    def end_now(host, port):
        if end == "revoke":
            lifecycle.revoke_all(user_id=bob.pk)
        elif end == "forget":
            PushRegistration.objects.all().delete()
        elif end == "expire":
            UserSession.objects.update(expires_at=timezone.now())
        else:
            get_user_model().objects.filter(pk=bob.pk).update(is_active=False)
        return resolve(host, port)

    monkeypatch.setattr(endpoints, "resolve", end_now)
    say(alice, conversation)
    run_tasks()
    assert (phone.asked, push_service.cut) == ([], [])
    assert due() == 0


# --- Growth -----------------------------------------------------------------------------------------------------------


def _crowd(count):
    """Return a group of alice and `count` others who all have a device."""
    User = get_user_model()
    alice = User.objects.get(username="alice")
    names = [f"m{count}x{n}" for n in range(count)]
    User.objects.bulk_create(
        [User(username=name, username_key=name, email=f"{name}@example.com", password="!") for name in names]
    )
    people = list(User.objects.filter(username__in=names))
    now = timezone.now()
    end = now + datetime.timedelta(days=7)
    UserSession.objects.bulk_create(
        UserSession(
            user=person, expires_at=end, created_at=now, last_seen_at=now, idle_expires_at=end, absolute_expires_at=end
        )
        for person in people
    )
    PushRegistration.objects.bulk_create(
        PushRegistration(
            user_session=one,
            user_id=one.user_id,
            provider="expo",
            token=f"ExponentPushToken[{one.pk}]",
            digest=f"{one.pk}",
            show="full",
            updated_at=now,
        )
        for one in UserSession.objects.filter(user__in=people)
    )
    return group(alice, *people)


def test_statements_do_not_grow_with_members(alice, monkeypatch):
    monkeypatch.setattr(delivery, "send", lambda pushes: [delivery.OVER] * len(pushes))
    counts = []
    for members, away in ((4, 3), (999, 900)):
        conversation = _crowd(members)
        looking = UserSession.objects.filter(user__username__startswith=f"m{members}x").order_by("-pk")
        for sid in looking.values_list("session_token", flat=True)[: members - away]:
            sockets.opened(sid, "c")
        message = say(alice, conversation)
        room = Conversation.objects.get(uuid=conversation["uuid"]).pk
        with CaptureQueriesContext(connection) as statements:
            told = decide.messages([(room, message["seq"], message["seq"])])
        assert len(told) == away
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 5


def test_who_has_no_device_costs_no_task(alice, bob):
    say(alice, direct(alice, bob))
    assert due() == 0


def test_who_left_or_whose_session_is_over_costs_no_task(alice, bob, bob_api, charlie, charlie_api, register):
    conversation = group(alice, bob, charlie)
    register(bob_api)
    register(charlie_api)
    before = due()
    say(alice, conversation)
    assert due() == before + 1
    session = UserSession.objects.filter(pk=bob_api.started.user_session.pk)
    session.update(expires_at=timezone.now() - datetime.timedelta(seconds=1))
    say(alice, conversation)
    assert due() == before + 2  # charlie's
    Membership.objects.filter(user=charlie).update(left_seq=1)
    say(alice, conversation)
    assert due() == before + 2
    session.update(expires_at=timezone.now() + datetime.timedelta(days=1))
    say(alice, conversation)
    assert due() == before + 3


def test_a_cache_that_is_away_stops_no_push(alice, bob, bob_api, register, run_tasks, monkeypatch):
    phone = register(bob_api)
    conversation = direct(alice, bob)

    def away(*args, **kwargs):
        raise ConnectionError

    with monkeypatch.context() as patch:
        for name in ("get_many", "set_many", "delete_many"):
            patch.setattr(cache, name, away)
        say(alice, conversation)
        run_tasks()
    assert len(phone.asked) == 1


def test_a_busy_chat_wakes_the_collecting_thread_once(monkeypatch):
    collector = collect.Collector()
    woken = []
    collector._thread = object()  # as in a server
    monkeypatch.setattr(collector._changed, "notify_all", lambda: woken.append(1))
    for seq in range(1, 6):
        event = Encoded(seq, "message.created", b"{}")
        collector.note_messages([Published(7, uuid.uuid4(), (event,))])
    assert len(woken) == 1
    assert collector._rooms == {7: (1, 5)}
