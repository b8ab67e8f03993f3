"""Push end to end: real servers, a push service on loopback that decrypts what it gets."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests import live
from tests.push_services import Browser, Service, check_vapid, service

ROUNDS = int(os.environ.get("ROUNDS", "24"))  # 1,000 were run
TICK_S = 0.02  # how exactly the kernel dates what arrives


@pytest.fixture(scope="module")
def server(shared: live.Server) -> live.Server:
    return shared


@pytest.fixture
def push_service() -> Iterator[Service]:
    with service() as running:
        yield running


def register(person: live.Person, at: Service, show: str = "full") -> Browser:
    browser = Browser(at)
    body = {"provider": "webpush", "subscription": browser.subscription, "show": show}
    person.ok("PUT", f"/api/users/sessions/{person.sid}/push/", body)
    return browser


wait_for = live.wait_until


def test_a_message_wakes_the_phone_and_reading_it_elsewhere_clears_it(
    server: live.Server, push_service: Service
) -> None:
    alice, bob = server.person(), server.person()
    conversation = alice.direct(bob)
    phone = register(bob, push_service)
    message = alice.say(conversation, "dinner is ready")
    pushed = wait_for(lambda: phone.pushes)[0]
    assert (pushed["body"], pushed["seq"], pushed["badge"]) == ("dinner is ready", message["seq"], 1)
    key = bob.ok("GET", "/api/users/push/key/")["vapid_public_key"]
    check_vapid(phone.asked[0], origin=push_service.url, public_key=key)
    desk = server.sign_in(bob.name)
    desk.ok("POST", f"/api/chat/conversations/{conversation}/seen/", {"up_to_seq": message["seq"]})
    cleared = wait_for(lambda: phone.pushes[1:])[0]
    assert cleared == {"conversation_uuid": conversation, "seq": message["seq"], "badge": 0, "seen": True}


async def test_an_open_socket_gets_the_message_and_a_closed_one_the_push(
    server: live.Server, push_service: Service
) -> None:
    alice, bob = await asyncio.to_thread(server.person), await asyncio.to_thread(server.person)
    conversation = await asyncio.to_thread(alice.direct, bob)
    phone = await asyncio.to_thread(register, bob, push_service)
    elsewhere = await asyncio.to_thread(server.sign_in, bob.name)
    tablet = await asyncio.to_thread(register, elsewhere, push_service)
    wire = await bob.open()
    await asyncio.to_thread(alice.say, conversation, "while you look")
    await wire.next("events")
    await asyncio.to_thread(wait_for, lambda: tablet.pushes)  # who gets one has been decided
    assert phone.pushes == []
    await wire.connection.close()

    def closed() -> bool:
        listed = bob.ok("GET", "/api/users/sessions/")["results"]
        return all(one["sockets"] == 0 for one in listed)

    await asyncio.to_thread(wait_for, closed)
    await asyncio.to_thread(alice.say, conversation, "while you are away")
    pushed = await asyncio.to_thread(wait_for, lambda: phone.pushes)
    assert [one["body"] for one in pushed] == ["while you are away"]


def test_a_push_service_that_hangs_holds_up_no_ack_and_no_mail(server: live.Server, push_service: Service) -> None:
    alice, bob, carol = server.person(), server.person(), server.person()
    push_service.reply = push_service.hang
    hung = register(bob, push_service)
    conversation = alice.direct(bob)
    alice.say(conversation, "one")
    wait_for(lambda: hung.asked)
    with service() as other:
        well = register(carol, other)
        alice.say(alice.direct(carol), "two")
        wait_for(lambda: well.asked)  # while the other one still hangs
    assert not push_service.release.is_set()
    status, _body = server.call("POST", "/api/auth/password-reset/", {"email": f"{alice.name}@example.com"})
    assert status == 200


def rounds(server: live.Server, push_service: Service) -> None:
    """Sign devices out while messages fly: nothing whole arrives after the answer."""
    alice, bob = server.person(), server.person()
    conversation = alice.direct(bob)
    ended: list[tuple[Browser, float]] = []
    for place in range(ROUNDS):
        device = server.sign_in(bob.name)
        phone = register(device, push_service)
        talking = threading.Thread(target=lambda: [alice.say(conversation, "x") for _ in range(3)])
        talking.start()
        time.sleep(0.01 * (place % 9))  # to end it before, while and after a push is on its way
        server.ok("POST", f"/api/users/sessions/{device.sid}/revoke/", token=device.access)
        ended.append((phone, time.monotonic()))
        talking.join()
    # One that is not signed out shows when everything before it has been worked off.
    control = register(server.sign_in(bob.name), push_service)
    alice.say(conversation, "last")
    wait_for(lambda: control.asked, within_s=60)
    assert [asked for phone, at in ended for asked in phone.asked if asked.at > at + TICK_S] == []


@pytest.mark.promise
def test_nothing_is_pushed_after_a_revocation(server: live.Server, push_service: Service) -> None:
    rounds(server, push_service)


@pytest.mark.promise
def test_nothing_is_pushed_after_a_revocation_on_postgresql(postgres_url: str, push_service: Service) -> None:
    settings = {"PUSH_PRIVATE_ENDPOINTS": "true", "PUSH_COLLECT_MS": "0"}
    with live.server("uvicorn", database_url=postgres_url, **settings) as started:
        rounds(started, push_service)
