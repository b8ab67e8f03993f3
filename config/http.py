"""Bridge from the ASGI server to Django's WSGI handler, and the gate for WebSocket handshakes.

Django's own ASGI handler hops to a thread for every sync middleware and signal, which costs four to seven times its
WSGI handler; so the whole request takes one hop to a fixed pool of threads (docs/adr/http-in-one-hop.md).
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, Any
from urllib.parse import unquote_to_bytes

import structlog
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import UnsupportedMediaType

from common import database_time, handshakes
from common.errors import (
    REFUSAL,
    ApplicationError,
    InternalError,
    NotAuthenticated,
    NotFound,
    PermissionRefused,
    RequestTimedOut,
    TemporarilyUnavailable,
    Throttled,
    TooLarge,
    from_exception,
    refusal_answer,
    respond,
)
from config.metrics import HASHING
from sessions.authentication import authenticate

log = structlog.get_logger(__name__)

RECEIVED_AT = "alviar.received_at"
TIMED_OUT = "alviar.timed_out"
BLOCK_BYTES = 256 * 1024
# How much of a refused body is read and discarded, so that the client gets the response instead of a reset.
DISCARD_BYTES, DISCARD_SECONDS = 64 * 1024 * 1024, 10.0

Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[dict[str, Any]], Any]

# The paths that hash a password, by method: they have separate threads, so that logins delay nothing else.
_HASHING = {
    "POST": re.compile(
        r"/api/(users/)?auth/(login|register|password-reset/confirm|password-change|email-change|reauthenticate)/"
        r"|/admin/login/|/api/users/me/close/"
    ),
    "DELETE": re.compile(r"/api/users/me/"),
}
_LOGOUT = re.compile(r"/api/(users/)?auth/logout/")  # ends the Bearer's session regardless of the body
_UPLOAD = re.compile(r"/api/chat/attachments/")
_RESUMABLE = re.compile(r"/api/chat/uploads/[^/]+/")
# Requests that wait for the file store or the scanner have separate threads, so that an outage delays nothing else.
_STORING = re.compile(r"POST /api/chat/attachments/|(POST|PATCH|HEAD|DELETE) /api/chat/uploads/([^/]+/)?")


class ClientGone(Exception):
    """The client closed the connection before its request was complete or answered."""


@dataclass
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    stream: Iterable[bytes] | None = None
    whole_blocks: bool = False
    close: Callable[[], None] = lambda: None


class HTTPBridge:
    """An ASGI application that serves a WSGI application from a fixed pool of threads, in one hop for each request."""

    def __init__(self, wsgi: Callable[..., Any]) -> None:
        self.wsgi = wsgi
        self.pool = ThreadPoolExecutor(settings.HTTP_THREADS, thread_name_prefix="http")
        self.hash_pool = ThreadPoolExecutor(settings.HASH_THREADS, thread_name_prefix="hash")
        self.media_pool = ThreadPoolExecutor(settings.MEDIA_THREADS, thread_name_prefix="media")
        self.storing = 0  # running and waiting
        self.uploading: Counter[int] = Counter()  # bodies above the JSON limit that are being received, by user
        self.hashing = 0  # running and waiting; counted on the event loop, so that no lock is needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = environ_of(scope)
        try:
            # Only an upload may become larger than what memory takes.
            with SpooledTemporaryFile(settings.BODY_LIMIT_BYTES) if _upload_limit(environ) else BytesIO() as body:
                await self._read(environ, body, receive)
                await self._serve(environ, receive, send)
        except ClientGone:
            log.debug("http.client_gone", path=scope["path"])
        except OSError as error:  # a server that says so when the connection is lost in the middle of an answer
            log.debug("http.client_gone", path=scope["path"], error=type(error).__name__)

    async def _read(self, environ: dict[str, Any], body: IO[bytes], receive: Receive) -> None:
        """Read the request body into `body`, or record its refusal: too large, too slow, or not allowed."""
        limit, refusal, uploader = await self._limit(environ)
        if not uploader:
            await self._receive(environ, body, receive, limit, refusal)
            return
        self.uploading[uploader] += 1
        try:
            await self._receive(environ, body, receive, limit, refusal)
        finally:
            self.uploading -= Counter([uploader])  # drops those without any

    async def _receive(
        self, environ: dict[str, Any], body: IO[bytes], receive: Receive, limit: int, refusal: ApplicationError | None
    ) -> None:
        declared = environ["CONTENT_LENGTH"]
        expects_continue = environ.get("HTTP_EXPECT", "").lower() == "100-continue"
        if refusal is None and declared.isdigit() and (len(declared) > 15 or int(declared) > limit):
            refusal = TooLarge()
        size, started = 0, time.monotonic()
        is_upload = limit > settings.BODY_LIMIT_BYTES
        if not (refusal and expects_continue):
            try:
                wait = settings.REQUEST_SECONDS or None if refusal is None else DISCARD_SECONDS
                async with asyncio.timeout(wait) as patience:
                    async for chunk in _chunks(receive):
                        size += len(chunk)
                        if refusal is None and size > limit:
                            refusal = TooLarge()
                        if refusal is None:
                            refusal = _written(body, chunk)
                        elif size > limit + DISCARD_BYTES or time.monotonic() - started > DISCARD_SECONDS:
                            break
                        if is_upload and settings.REQUEST_SECONDS:  # it may be slow, but must not stall
                            patience.reschedule(asyncio.get_running_loop().time() + settings.REQUEST_SECONDS)
            except TimeoutError:
                if not _keeps_what_came(environ):
                    refusal = refusal or RequestTimedOut()
                environ[TIMED_OUT] = True
            except ClientGone:
                if refusal is not None or not size or not _keeps_what_came(environ):
                    raise
        body.seek(0)
        environ["wsgi.input"] = body
        # The received bytes decide, not the Content-Length header.
        environ["CONTENT_LENGTH"] = str(size)
        if refusal is not None:
            body.truncate(0)
            environ |= {"CONTENT_LENGTH": "0", REFUSAL: refusal}

    async def _limit(self, environ: dict[str, Any]) -> tuple[int, ApplicationError | None, int]:
        """Return the size limit of the body, the refusal of a client that may not send a body of this size, and its id.

        A body above the JSON limit is written to disk, which no quota counts yet. Clients that are not signed in, or
        send many at once, are refused before it is read.
        """
        limit = _upload_limit(environ)
        if not limit or not _may_exceed(environ["CONTENT_LENGTH"]):
            return settings.BODY_LIMIT_BYTES, None, 0
        try:
            user_id = await asyncio.get_running_loop().run_in_executor(self.pool, _require_signed_in, environ)
        except ApplicationError as error:
            return settings.BODY_LIMIT_BYTES, error, 0
        if settings.UPLOADS_AT_ONCE and self.uploading[user_id] >= settings.UPLOADS_AT_ONCE:
            return settings.BODY_LIMIT_BYTES, Throttled(retry_after=5), 0
        return limit, None, user_id

    async def _serve(self, environ: dict[str, Any], receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        pool = self.pool
        if REFUSAL not in environ and hashes_a_password(environ["REQUEST_METHOD"], _path(environ)):
            if self.hashing < settings.HASH_THREADS + settings.HASH_QUEUE:
                answer = await self._hash(loop, environ, receive)
                await self._send(answer, environ, receive, send, self.hash_pool)
                return
            environ[REFUSAL] = TemporarilyUnavailable(retry_after=2)
        if REFUSAL not in environ and _STORING.fullmatch(f"{environ['REQUEST_METHOD']} {_path(environ)}"):
            if self.storing < settings.MEDIA_THREADS + settings.MEDIA_QUEUE:
                answer = await self._store(loop, environ)
                await self._send(answer, environ, receive, send, pool)
                return
            environ[REFUSAL] = TemporarilyUnavailable(retry_after=5)
        answer = await self._on_a_thread(loop, environ)
        await self._send(answer, environ, receive, send, pool)

    def _on_a_thread(self, loop: asyncio.AbstractEventLoop, environ: dict[str, Any]) -> asyncio.Future[Answer]:
        """Run the WSGI application on a thread of the pool; `run_in_executor` would chain two futures for it."""
        answered: asyncio.Future[Answer] = loop.create_future()

        def settle(answer: Answer | None) -> None:
            if not answered.done():  # else nobody waits any more
                answer = answer or Answer(*refusal_answer(InternalError(), environ.get("HTTP_X_REQUEST_ID")))
                answered.set_result(answer)

        def run() -> None:
            answer = None
            try:
                answer = self._call(environ)
            finally:
                loop.call_soon_threadsafe(settle, answer)

        self.pool.submit(run)
        return answered

    async def _store(self, loop: asyncio.AbstractEventLoop, environ: dict[str, Any]) -> Answer:
        self.storing += 1
        try:
            return await loop.run_in_executor(self.media_pool, self._call, environ)
        finally:
            self.storing -= 1

    async def _hash(self, loop: asyncio.AbstractEventLoop, environ: dict[str, Any], receive: Receive) -> Answer:
        """Wait for a hashing thread; a client that disconnects meanwhile is dropped from the queue."""
        self._count_hashing(+1)
        gone = asyncio.ensure_future(receive())
        job = self.hash_pool.submit(self._call, environ)
        work = asyncio.wrap_future(job, loop=loop)
        try:
            await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
            if job.cancel():  # fails for a running job: only the thread's own future knows
                raise ClientGone
            return await work
        finally:
            gone.cancel()
            self._count_hashing(-1)

    def _count_hashing(self, step: int) -> None:
        self.hashing += step
        HASHING.set(self.hashing)

    def _call(self, environ: dict[str, Any]) -> Answer:
        """Run the WSGI application (on a thread)."""
        head: list[Any] = [500, []]

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            head[:] = int(status[:3]), [(_header_name(name), value.encode("latin-1")) for name, value in headers]

        try:
            with database_time.limited():
                response: Iterable[bytes] = self.wsgi(environ, start_response)
            close = getattr(response, "close", lambda: None)
            inner: Any = response
            while (wrapped := getattr(inner, "_response", None)) is not None:  # as by Sentry's instrumentation
                inner = wrapped
            if getattr(inner, "streaming", False):
                _return_connections()  # blocks are read on any free thread
                is_file = getattr(inner, "file_to_stream", None) is not None
                return Answer(head[0], head[1], b"", iter(response), is_file, close)
            try:
                body = b"".join(response)
            finally:
                close()
            status, headers = head
            if status == 204:  # RFC 9110 §8.6: no Content-Length; Django's middleware sets one
                headers = [(name, value) for name, value in headers if name != b"content-length"]
            elif not any(name == b"content-length" for name, _ in headers):
                headers.append((b"content-length", str(len(body)).encode()))
            return Answer(status, headers, body)
        except Exception:
            log.exception("http.unforeseen", path=_path(environ))
            _return_connections()  # as the end of a response does
            return Answer(*refusal_answer(InternalError(), environ.get("HTTP_X_REQUEST_ID")))

    async def _send(
        self, answer: Answer, environ: dict[str, Any], receive: Receive, send: Send, pool: ThreadPoolExecutor
    ) -> None:
        loop = asyncio.get_running_loop()
        headers = answer.headers
        refusal = environ.get(REFUSAL)
        if environ.get(TIMED_OUT) or (refusal and refusal.status in {401, 403, 408, 413, 429, 503}):
            headers = [*headers, (b"connection", b"close")]
        without_body = environ["REQUEST_METHOD"] == "HEAD"
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            if answer.stream is not None and not without_body:
                gone = asyncio.ensure_future(receive())
                try:
                    while block := await loop.run_in_executor(pool, _next_block, answer):
                        if gone.done():
                            raise ClientGone
                        await send({"type": "http.response.body", "body": block, "more_body": True})
                finally:
                    gone.cancel()
            await send({"type": "http.response.body", "body": b"" if without_body else answer.body})
        finally:
            if answer.stream is not None:
                pool.submit(answer.close)


def _return_connections() -> None:
    for connection in connections.all(initialized_only=True):
        connection.close_if_unusable_or_obsolete()


@lru_cache(maxsize=256)
def _header_name(name: str) -> bytes:
    return name.lower().encode("latin-1")


def _next_block(answer: Answer) -> bytes:
    """Return the next block of a stream (on a thread): a chunk, or 256 KiB of a file; empty at the end."""
    pieces, size = [], 0
    with database_time.limited():
        for piece in answer.stream or ():
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK_BYTES or (size and not answer.whole_blocks):
                break
    return b"".join(pieces)


async def _chunks(receive: Receive) -> Any:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def _upload_limit(environ: dict[str, Any]) -> int:
    """Return the size limit of an upload, 0 if the request is no upload."""
    path = _path(environ)
    if _UPLOAD.fullmatch(path):
        return int(settings.ATTACHMENT_BYTES) + 64 * 1024  # plus the multipart overhead
    return int(settings.UPLOAD_BYTES) if _RESUMABLE.fullmatch(path) else 0


def _keeps_what_came(environ: dict[str, Any]) -> bool:
    """Return whether an interrupted body is kept: a part of a resumable upload."""
    return environ["REQUEST_METHOD"] == "PATCH" and bool(_RESUMABLE.fullmatch(_path(environ)))


def _written(body: IO[bytes], chunk: bytes) -> ApplicationError | None:
    """Append to the body; return a refusal if the disk is full."""
    try:
        body.write(chunk)
    except OSError as error:
        log.error("http.no_room_for_body", error=str(error))
        return TemporarilyUnavailable(retry_after=30)
    return None


def _may_exceed(declared: str) -> bool:
    """Return whether a body may exceed the JSON limit: by its Content-Length, or because it has none (chunked)."""
    return not declared.isdigit() or len(declared) > 15 or int(declared) > settings.BODY_LIMIT_BYTES


def _require_signed_in(environ: dict[str, Any]) -> int:
    """Return the user's id, or raise the API's error for a client that is not signed in (on a thread)."""
    kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotAuthenticated
    try:
        with database_time.limited():
            return authenticate(token.strip()).user_id
    except Exception as error:
        raise (from_exception(error) or InternalError()) from error
    finally:
        _return_connections()


def _path(environ: dict[str, Any]) -> str:
    return environ["PATH_INFO"]


def hashes_a_password(method: str, path: str) -> bool:
    pattern = _HASHING.get(method)
    return bool(pattern and pattern.fullmatch(path))


def scheme_of(scope: Scope) -> str:
    """Return the client's scheme, `https` or `http`; a proxy's header counts only if proxies are trusted."""
    if settings.TRUSTED_PROXY_COUNT:
        said = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-proto").decode("latin-1")
        hops = [hop.strip().lower() for hop in said.split(",") if hop.strip()]
        if hops:
            return hops[-min(settings.TRUSTED_PROXY_COUNT, len(hops))]
    scheme = str(scope.get("scheme", "http"))
    return {"wss": "https", "ws": "http"}.get(scheme, scheme)


def environ_of(scope: Scope) -> dict[str, Any]:
    """Return the WSGI environment (PEP 3333) of an ASGI request, without its body."""
    raw_path = scope.get("raw_path") or scope["path"].encode("utf-8")
    server = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(raw_path.partition(b"?")[0]).decode("latin-1"),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "CONTENT_TYPE": "",
        "CONTENT_LENGTH": "",
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1] or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": str((scope.get("client") or [""])[0]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.multithread": True,
        "wsgi.multiprocess": settings.WORKERS > 1,
        "wsgi.run_once": False,
        RECEIVED_AT: time.perf_counter(),
    }
    for name, value in scope["headers"]:
        # `X_Forwarded_For` and `X-Forwarded-For` are the same name in WSGI: only the one with dashes is accepted.
        if b"_" in name:
            continue
        key = name.decode("latin-1").upper().replace("-", "_")
        text = value.decode("latin-1")
        if key not in {"CONTENT_TYPE", "CONTENT_LENGTH"}:
            key = f"HTTP_{key}"
            if key in environ:
                text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    if "HTTP_X_FORWARDED_PROTO" in environ:
        environ["HTTP_X_FORWARDED_PROTO"] = scheme_of(scope)
    if "HTTP_X_HTTP_METHOD_OVERRIDE" in environ:
        environ["REQUEST_METHOD"] = _overridden_method(environ)
    return environ


def _overridden_method(environ: dict[str, Any]) -> str:
    """Return the method, or the one that a header names (tus 1.0): for an upload, by clients that send POST only."""
    method, named = str(environ["REQUEST_METHOD"]), environ["HTTP_X_HTTP_METHOD_OVERRIDE"].strip().upper()
    is_meant = method == "POST" and named in {"PATCH", "DELETE"} and _RESUMABLE.fullmatch(_path(environ))
    return named if is_meant else method


class RefusalMiddleware:
    """Return the bridge's refusals as a middleware, so that they get language, CORS headers and a log line.

    A compressed body is refused as well: it is not supported, and would be reported as invalid JSON.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refusal = request.META.get(REFUSAL)
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        compressed = encoding not in {"", "identity"} and request.path.startswith("/api/")
        if not refusal and compressed and not _LOGOUT.fullmatch(request.path):
            refusal = from_exception(UnsupportedMediaType(encoding))
        return respond(refusal) if refusal else self.get_response(request)


class SocketGate:
    """Refuse WebSocket handshakes for another path, or by plain `ws` if HTTPS is required.

    `is_refused`: the check of the chat's own handshake; refused here, the response has a body and a request id.
    """

    def __init__(self, inner: Any, urlpatterns: list[Any], is_refused: Callable[[Scope], bool] | None = None) -> None:
        self.inner, self.urlpatterns = inner, urlpatterns
        self.is_refused = is_refused or (lambda scope: False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error: ApplicationError | None = None
        if settings.HTTPS_ONLY and scheme_of(scope) != "https":
            error = PermissionRefused()
        elif not any(pattern.pattern.match(scope["path"].removeprefix("/")) for pattern in self.urlpatterns):
            error = NotFound()
        elif self.is_refused(scope):
            error = PermissionRefused()
        if error is None:
            await self.inner(scope, receive, send)
            return
        await receive()  # websocket.connect
        await handshakes.refuse(await handshakes.count_refused(scope) or error, scope, send)
