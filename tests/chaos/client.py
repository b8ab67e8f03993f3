"""A chat client that follows the contract, and nothing of the server's code: what `make chaos` and the scenarios run.

It is also the reference for whoever writes a client in another language. What it does, in the words of the contract:

- *Handshake*: subprotocols `["access_token", <jwt>]`, then `hello`, then one `resume` with every cursor it has
  (`more: true` on all but the last frame), then `resumed`. Only now is it caught up, and the back-off starts anew.
- *Cursors*: one number per conversation. `seq == last + 1` is applied, `<= last` ignored; a hole is held back and asked
  for by `sync`, over the open socket: never by closing it. While a `resume` is under way a hole only waits.
- *gap*: drop what is held of that conversation, read the newest page by REST, take `last_seq` as cursor.
- *Sending*: a message gets its `client_msg_id` when the person taps, stands in the outbox until it is acknowledged (by
  `ack`, by its own event or by REST's 200 or 201), and is sent again with the same id, over the socket or REST.
- *Tokens*: one refresh at a time, tried until it is answered (a lost answer is replayed by the server). A new token
  goes onto the open socket by `authenticate`, or by a second socket: open, `resume`, and only then close the first.
- *Heartbeat*: `ping` every `heartbeat_interval_ms`; nothing at all for that long after a ping means half-open: abort.
- *Close codes*: 4000–4499 reconnect, 4500–4999 do not; 4401 refreshes first, 4410 and 4429 wait `reconnect_in_ms`, 4413
  and 4440 reconnect at once, everything else backs off: random in 0…min(20 s, 0.5 s · 2ⁿ).
"""

import asyncio
import json
import random
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

BACK_OFF_SECONDS, BACK_OFF_MAX_SECONDS = 0.5, 20.0
OPEN_SECONDS = 10.0  # for the handshake, and again for `resumed`
ACK_SECONDS = 4.0  # without an answer the message is sent again
SYNC_SECONDS = 3.0  # without an answer the hole is asked for again
REFRESH_BEFORE_SECONDS = 60.0
RESUME_CURSORS = 200  # in one frame
SIGN_OUT, STOP = {4503, 4504}, {4506, 4507}
AT_ONCE = {4413, 4440}


class SignedOut(Exception):
    """The session is over: only a new login helps."""


class Refused(Exception):
    """The server said no, and would say so again."""


class Account:
    """A person on one device: the tokens of a session, and REST with them."""

    def __init__(self, base: str, username: str, password: str, http: httpx.AsyncClient) -> None:
        self.base, self.username, self.password, self.http = base, username, password, http
        self.user_id = 0
        self.access = self.refresh_token = ""
        self.expires_at = 0.0  # monotonic, by `access_expires_in`: the device's wall clock may be wrong
        self._refreshing: asyncio.Task[str] | None = None

    async def login(self, **extra: Any) -> dict[str, Any]:
        body = {"username": self.username, "password": self.password, **extra}
        answer = await self.http.post(f"{self.base}/api/auth/login/", json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        self.user_id = found["user"]["id"]
        self._take(found)
        return found

    def _take(self, pair: dict[str, Any]) -> None:
        self.access, self.refresh_token = pair["access"], pair["refresh"]
        self.expires_at = time.monotonic() + pair["access_expires_in"]

    async def valid_token(self) -> str:
        if time.monotonic() > self.expires_at - REFRESH_BEFORE_SECONDS:
            return await self.refresh()
        return self.access

    async def refresh(self) -> str:
        """Return a new access token; whoever asks meanwhile waits for the same one. Raises SignedOut."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return await asyncio.shield(self._refreshing)

    async def _refresh(self) -> str:
        attempt = 0
        while True:
            with suppress(httpx.TransportError):
                answer = await self.http.post(
                    f"{self.base}/api/auth/token/refresh/", json={"refresh": self.refresh_token}
                )
                if answer.status_code == 200:
                    self._take(answer.json())
                    return self.access
                if answer.status_code == 401:
                    raise SignedOut(answer.text)
            await asyncio.sleep(back_off(attempt))
            attempt += 1

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the JSON of a 2xx; try again whatever may pass. Raises Refused, SignedOut."""
        attempt = 0
        while True:
            token = await self.valid_token()
            try:
                answer = await self.http.request(
                    method, f"{self.base}/api/{path}", json=body, headers={"Authorization": f"Bearer {token}"}
                )
            except httpx.TransportError:
                await asyncio.sleep(back_off(attempt))
                attempt += 1
                continue
            if answer.status_code < 300:
                return answer.json() if answer.content else None
            if answer.status_code == 401 and answer.json()["action"] == "refresh" and attempt < 3:
                await self.refresh()
            elif answer.status_code == 401:
                raise SignedOut(answer.text)
            elif answer.status_code in (429, 503):
                await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
            elif answer.status_code >= 500:
                await asyncio.sleep(back_off(attempt))
            else:
                raise Refused(f"{answer.status_code} {answer.text}")
            attempt += 1


def back_off(attempt: int) -> float:
    """Return seconds to wait: full jitter, so that a crowd does not come back as a crowd."""
    return random.uniform(0, min(BACK_OFF_MAX_SECONDS, BACK_OFF_SECONDS * 2 ** min(attempt, 10)))


@dataclass
class Outgoing:
    client_msg_id: str
    conversation_uuid: str
    content: str
    made_at: float
    tries: int = 0
    due_at: float = 0.0  # monotonic


@dataclass(eq=False)
class Link:
    """One socket of a device, from `hello` to its end."""

    device: "Device"
    ws: ClientConnection
    hello: dict[str, Any] = field(default_factory=dict)
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    code: int = 1006
    reconnect_in: float | None = None  # seconds, by the server's `bye`
    heard_at: float = field(default_factory=time.monotonic)
    asked: dict[str, float] = field(default_factory=dict)  # conversation: until when its `sync` is under way
    reading: asyncio.Event = field(default_factory=asyncio.Event)  # cleared: the app is frozen and reads nothing
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        self.reading.set()
        self.tasks.append(asyncio.create_task(self._read()))

    async def send(self, **frame: Any) -> bool:
        """Return whether the frame was handed to the socket, which says nothing of the server."""
        try:
            await self.ws.send(json.dumps(frame))
            return True
        except ConnectionClosed:
            return False

    async def _read(self) -> None:
        try:
            while True:
                await self.reading.wait()
                frame = json.loads(await self.ws.recv())
                self.heard_at = time.monotonic()
                if frame["type"] == "hello":
                    self.hello = frame
                    self.tasks.append(asyncio.create_task(self._beat(frame["heartbeat_interval_ms"] / 1000)))
                elif frame["type"] == "bye":
                    self.reconnect_in = frame["reconnect_in_ms"] / 1000 if frame.get("reconnect_in_ms") else None
                await self.device.take(self, frame)
        except ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else 1006
        except Exception as error:
            self.device.failures.append(f"reader: {error!r}")
        finally:
            self.end()

    async def _beat(self, every: float) -> None:
        while True:
            await asyncio.sleep(every * random.uniform(0.9, 1.1))
            asked_at = time.monotonic()
            await self.send(type="ping")
            await asyncio.sleep(every)
            if self.heard_at < asked_at and self.reading.is_set():
                self.abort()
                return

    def abort(self) -> None:
        """Give the socket up without a word: the other side is not there."""
        self.ws.transport.abort()
        self.end()

    async def close(self) -> None:
        await self.ws.close()

    def end(self) -> None:
        if not self.ended.is_set():
            self.ended.set()
            self.device.ended(self)
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()


class Device:
    """The chat of one account: one socket at a time, two while it changes them.

    `applied(event, by)` sees every event once and in order. `cursors` survive every reconnect.
    """

    def __init__(self, account: Account, *, ws_base: str | None = None) -> None:
        self.account = account
        self.url = (ws_base or account.base.replace("http", "ws", 1)) + "/ws/chat/"
        self.epoch = ""
        self.cursors: dict[str, int] = {}
        self.held: dict[str, dict[int, dict[str, Any]]] = {}
        self.reloading: dict[str, int] = {}  # conversation: its cursor once the page is here
        self.outbox: dict[str, Outgoing] = {}
        self.link: Link | None = None
        self.stopped = ""  # why, once it has
        self.refused: list[str] = []
        self.failures: list[str] = []  # of this client itself: there should be none
        self.tasks: list[asyncio.Task[Any]] = []
        self._background: set[asyncio.Task[Any]] = set()
        self._changing = asyncio.Lock()

    # --- What an app looks at -----------------------------------------------------------------------------------------

    def applied(self, event: dict[str, Any]) -> None:
        """An event of a conversation, in order."""

    def reloaded(self, conversation_uuid: str, messages: list[dict[str, Any]], last_seq: int) -> None:
        """A page of history took the place of what was held of the conversation."""

    def acknowledged(self, outgoing: Outgoing) -> None:
        """The message is stored."""

    def seen(self, link: Link, frame: dict[str, Any]) -> None:
        """Any frame, before it is dealt with."""

    def ended(self, link: Link) -> None:
        """A socket is gone; `link.code` says how."""

    def resuming(self, link: Link, cursors: dict[str, int]) -> None:
        """These cursors go out in a `resume`."""

    def say(self, conversation_uuid: str, content: str) -> str:
        """Put a message into the outbox and return its `client_msg_id`."""
        outgoing = Outgoing(str(uuid.uuid4()), conversation_uuid, content, time.monotonic())
        self.outbox[outgoing.client_msg_id] = outgoing
        self._spawn(self._try(outgoing))
        return outgoing.client_msg_id

    async def mark_as_seen(self, conversation_uuid: str) -> None:
        if self.link and self.link.resumed.is_set():
            await self.link.send(
                type="mark_as_seen", conversation_uuid=conversation_uuid, up_to_seq=self.cursors[conversation_uuid]
            )

    # --- Its life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.tasks = [asyncio.create_task(self._live()), asyncio.create_task(self._deliver())]

    async def stop(self, why: str = "stopped") -> None:
        self.stopped = self.stopped or why
        for task in [*self.tasks, *self._background]:
            task.cancel()
        if self.link:
            with suppress(Exception):
                await asyncio.wait_for(self.link.close(), 2)
            self.link.end()

    async def _live(self) -> None:
        attempt = refreshed = 0
        while not self.stopped:
            try:
                link, before = await self._open(), self.link
                self.link, attempt, refreshed = link, 0, 0
                if before is not None and not before.ended.is_set():  # of a change of sockets meanwhile
                    await before.close()
                for outgoing in self.outbox.values():
                    outgoing.due_at = 0.0
                while not link.ended.is_set() or self.link is not link:
                    link = self.link
                    await link.ended.wait()
                code, wait = link.code, link.reconnect_in
            except SignedOut as error:
                self.stopped = f"signed out: {error}"
                return
            except _Ended as ended:
                code, wait = ended.link.code, ended.link.reconnect_in
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, TimeoutError, EOFError):
                code, wait = 1006, None
            if code in SIGN_OUT or code in STOP or 4500 <= code <= 4999:
                self.stopped = f"close code {code}"
                return
            if code == 4401:
                refreshed += 1
                with suppress(SignedOut):
                    await self.account.refresh()
                wait = 0.0 if refreshed == 1 else None
            elif code in AT_ONCE:
                wait = 0.0
            if wait is None:
                wait, attempt = back_off(attempt), attempt + 1
            await asyncio.sleep(wait)

    async def _open(self) -> Link:
        """Open a socket and catch up on it. Raises _Ended when the server ends it first, and what sockets raise."""
        ws = await self._connect(await self.account.valid_token())
        link = Link(self, ws)
        try:
            await link.start()
            await _first(link.resumed, link.ended, within=OPEN_SECONDS)
        except BaseException:
            link.abort()
            raise
        if not link.resumed.is_set():
            link.abort()
            raise _Ended(link)
        return link

    async def _connect(self, token: str) -> ClientConnection:
        return await connect(
            self.url,
            subprotocols=["access_token", token],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,  # the contract's own ping
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
            max_size=None,
        )

    async def change_socket(self) -> None:
        """Refresh, open a second socket with the new token, and only when it is caught up close the first."""
        async with self._changing:
            await self.account.refresh()
            old = self.link
            try:
                new = await self._open()
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed, TimeoutError, EOFError, _Ended):
                return  # the first one lives on, or its end is dealt with where it is
            if old is not self.link and self.link is not None and not self.link.ended.is_set():
                old, self.link = self.link, new
            else:
                self.link = new
            if old is not None and old is not new:
                with suppress(Exception):
                    await old.close()

    async def authenticate(self) -> None:
        """Refresh and put the new token onto the open socket."""
        token = await self.account.refresh()
        if self.link:
            await self.link.send(type="authenticate", token=token)

    # --- What comes in ------------------------------------------------------------------------------------------------

    async def take(self, link: Link, frame: dict[str, Any]) -> None:
        self.seen(link, frame)
        match frame["type"]:
            case "hello":
                await self._resume(link)
            case "resumed":
                self.epoch = link.hello["epoch"]
                link.resumed.set()
                for conversation in list(self.held):
                    self._settle(conversation, link)
            case "events":
                if str(frame.get("ref", "")).startswith("sync "):
                    link.asked.pop(str(frame["ref"])[5:], None)
                for event in frame["events"]:
                    self._event(event, link)
            case "gap":
                link.asked.pop(frame["conversation_uuid"], None)
                self._gap(frame["conversation_uuid"], frame["last_seq"], link)
            case "removed":
                self.cursors.pop(frame["conversation_uuid"], None)
                self.held.pop(frame["conversation_uuid"], None)
            case "ack":
                self._acknowledge(frame.get("client_msg_id"))
            case "error":
                self._error(frame)
            case "token_expiring":
                self._spawn(self.authenticate())

    async def _resume(self, link: Link) -> None:
        pairs = list(self.cursors.items())
        self.resuming(link, dict(pairs))
        parts = [pairs[at : at + RESUME_CURSORS] for at in range(0, len(pairs), RESUME_CURSORS)] or [[]]
        epoch = self.epoch or link.hello["epoch"]
        for part in parts[:-1]:
            await link.send(type="resume", epoch=epoch, cursors=dict(part), more=True)
        await link.send(type="resume", epoch=epoch, cursors=dict(parts[-1]))

    def _event(self, event: dict[str, Any], link: Link) -> None:
        conversation, seq = event["conversation_uuid"], event["seq"]
        if seq <= self.reloading.get(conversation, self.cursors.get(conversation, 0)):
            return
        self.held.setdefault(conversation, {})[seq] = event
        self._settle(conversation, link)

    def _settle(self, conversation: str, link: Link) -> None:
        """Apply what is next, drop what is behind, ask for what is missing."""
        held = self.held.get(conversation, {})
        if conversation in self.reloading or not held:
            return
        if conversation not in self.cursors:
            if not link.resumed.is_set():
                return  # its catch-up may still be on the way, behind this live event
            self.cursors[conversation] = min(held) - 1  # joined just now: its first event is where it begins
        last = self.cursors[conversation]
        while event := held.pop(last + 1, None):
            last = self.cursors[conversation] = last + 1
            client_msg_id = event["data"].get("client_msg_id") if event["kind"] == "message.created" else None
            if client_msg_id:
                self._acknowledge(client_msg_id)
            self.applied(event)
        for seq in [seq for seq in held if seq <= last]:
            del held[seq]
        now = time.monotonic()
        if not held:
            self.held.pop(conversation, None)
        elif link.resumed.is_set() and link.asked.get(conversation, 0) < now:
            link.asked[conversation] = now + SYNC_SECONDS
            self._spawn(
                link.send(type="sync", ref=f"sync {conversation}", conversation_uuid=conversation, after_seq=last)
            )

    def _gap(self, conversation: str, last_seq: int, link: Link) -> None:
        self.held.pop(conversation, None)
        self.reloading[conversation] = last_seq
        self._spawn(self._reload(conversation, last_seq, link))

    async def _reload(self, conversation: str, last_seq: int, link: Link) -> None:
        page = await self.account.call("GET", f"chat/conversations/{conversation}/messages/")
        if self.reloading.get(conversation) != last_seq:
            return  # there was another gap meanwhile
        del self.reloading[conversation]
        self.cursors[conversation] = last_seq
        for message in page["results"]:
            self._acknowledge(message["client_msg_id"])
        self.reloaded(conversation, page["results"], last_seq)
        self._settle(conversation, link)

    # --- What goes out ------------------------------------------------------------------------------------------------

    def _acknowledge(self, client_msg_id: str | None) -> None:
        if client_msg_id and (outgoing := self.outbox.pop(client_msg_id, None)):
            self.acknowledged(outgoing)

    def _error(self, frame: dict[str, Any]) -> None:
        outgoing = self.outbox.get(frame.get("client_msg_id") or "")
        if outgoing is None:
            return
        if frame["retryable"]:
            outgoing.due_at = time.monotonic() + (frame.get("retry_after_ms") or 1000) / 1000
        elif frame["code"] != "token_not_valid":  # that one ends the socket, and the message goes out on the next
            self.outbox.pop(outgoing.client_msg_id)
            self.refused.append(f"{frame['code']}: {frame['detail']}")

    async def _deliver(self) -> None:
        """Try again, in the order in which they were made, what nobody has acknowledged."""
        while True:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            for outgoing in list(self.outbox.values()):
                if outgoing.due_at <= now:
                    await self._try(outgoing)

    async def _try(self, outgoing: Outgoing) -> None:
        link = self.link
        outgoing.due_at = time.monotonic() + ACK_SECONDS
        if link and link.resumed.is_set() and not link.ended.is_set() and outgoing.tries % 3 != 2:
            outgoing.tries += 1
            await link.send(
                type="message",
                conversation_uuid=outgoing.conversation_uuid,
                content=outgoing.content,
                client_msg_id=outgoing.client_msg_id,
            )
        elif outgoing.tries or time.monotonic() - outgoing.made_at > ACK_SECONDS:
            # The same id over the other transport: a phone's background task does no more than this.
            outgoing.tries += 1
            self._spawn(self._post(outgoing))

    async def _post(self, outgoing: Outgoing) -> None:
        body = {"content": outgoing.content, "client_msg_id": outgoing.client_msg_id}
        try:
            path = f"chat/conversations/{outgoing.conversation_uuid}/messages/"
            await asyncio.wait_for(self.account.call("POST", path, body), OPEN_SECONDS)
        except TimeoutError:
            return
        except Refused as error:
            if self.outbox.pop(outgoing.client_msg_id, None):
                self.refused.append(str(error))
        else:
            self._acknowledge(outgoing.client_msg_id)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, SignedOut):
            self.stopped = f"signed out: {error}"
        else:
            self.failures.append(repr(error))


class _Ended(Exception):
    """The server closed the socket before it was caught up."""

    def __init__(self, link: Link) -> None:
        super().__init__(link.code)
        self.link = link


async def _first(*events: asyncio.Event, within: float) -> None:
    """Wait until one of the events is set. Raises TimeoutError."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise TimeoutError
    finally:
        for wait in waits:
            wait.cancel()
