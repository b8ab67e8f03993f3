"""Who is there is counted by socket, across processes, with a lifetime."""

import time
import uuid

import pytest
import time_machine
from django.core.management import call_command

from chat.hub import presence, presence_entries
from chat.hub.presence import Entry
from chat.log import events
from chat.tests.peers import person

pytestmark = pytest.mark.django_db


def entry(user_id: int, sid: uuid.UUID | None = None, at: float = 0.0) -> Entry:
    return Entry(user_id, sid or uuid.uuid4(), uuid.uuid4().hex, at or time.time())


def test_a_person_is_there_while_one_socket_is_open():
    someone = person()
    first, second = entry(someone.id), entry(someone.id)
    assert not presence.states([someone.id])[someone.id].online
    presence.opened(first), presence.opened(second)
    presence.closed(first)
    assert presence.states([someone.id])[someone.id].online
    presence.closed(second)
    state = presence.states([someone.id])[someone.id]
    assert (state.online, state.last_seen_at is not None) == (False, True)


@pytest.mark.parametrize("seconds", [90, -90], ids=["ahead", "behind"])
def test_a_person_is_there_for_hosts_whose_clocks_are_wrong(host_ahead, seconds):
    here = entry(person().id)
    stored = {here.connection_id: presence_entries.value_of(here)}
    with host_ahead(seconds=seconds):
        assert presence_entries.living(here.user_id, stored) == [here]


def test_the_oldest_of_a_session_is_superseded_by_the_fourth():
    someone, sid = person(), uuid.uuid4()
    opened = [entry(someone.id, sid, at=1_000.0 + number) for number in range(4)]
    assert [presence.opened(one) for one in opened] == [[], [], [], [opened[0].connection_id]]
    for one in opened:
        presence.closed(one)


def test_without_a_limit_no_socket_is_superseded(settings):
    settings.CHAT_SOCKETS_PER_SESSION = settings.CHAT_SOCKETS_PER_USER = 0
    someone, sid = person(), uuid.uuid4()
    opened = [entry(someone.id, sid, at=1_000.0 + number) for number in range(12)]
    assert [presence.opened(one) for one in opened] == [[]] * 12
    for one in opened:
        presence.closed(one)


@pytest.mark.valkey
def test_who_sat_at_a_killed_process_is_gone_when_nobody_prolongs_their_socket(monkeypatch):
    someone = person()
    presence.opened(entry(someone.id))
    monkeypatch.setattr(presence, "_local", {})  # another process, which never had this socket
    assert presence.states([someone.id])[someone.id].online
    with time_machine.travel(time.time() + presence_entries.LIFETIME_SECONDS + 2, tick=True):
        assert not presence.states([someone.id])[someone.id].online


def test_with_redis_away_each_process_knows_its_own(settings, monkeypatch):
    settings.REDIS_URLS, settings.SHARED_STORE = ["redis://127.0.0.1:1/0"], "redis"
    monkeypatch.setattr(presence, "_away_until", 0.0)
    someone = person()
    mine = entry(someone.id)
    assert presence.opened(mine) == []
    assert presence.states([someone.id])[someone.id].online
    presence.closed(mine)


def test_a_restored_backup_gets_a_new_epoch(capsys, monkeypatch):
    before = events.epoch()
    call_command("renew_epoch")
    monkeypatch.setattr(events, "_epoch", ("", 0.0))
    assert events.epoch() != before
