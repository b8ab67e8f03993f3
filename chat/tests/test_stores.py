"""Where the bytes lie: a folder or an S3-compatible store, working, full, absent, hanging; and the virus scanner."""

import contextlib
import errno
import getpass
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chat.media import scan, store
from chat.media.models import Attachment, UploadPart
from chat.tests import files
from chat.tests.calls import api, direct, refused, say
from chat.tests.test_uploads import begin, head, patch
from tests.servers import free_port

pytestmark = pytest.mark.django_db
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Iterator[Path]:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    yield tmp_path / "media"
    store._resting_until = 0.0


# --- A folder ---------------------------------------------------------------------------------------------------------


def test_full_disk_is_503_and_leaves_nothing(alice: Any, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert refused(files.post(alice, b"text"), 503, "temporarily_unavailable")
    monkeypatch.undo()
    assert not Attachment.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]
    files.upload(alice, b"text")


def test_absent_folder_is_503_and_no_message_is_lost(alice: Any, bob: Any, media: Path, tmp_path: Path) -> None:
    room = direct(alice, bob)
    body = files.upload(alice, b"text")
    media.rename(tmp_path / "elsewhere")
    media.write_text("no folder")
    assert refused(files.post(alice, b"more"), 503, "temporarily_unavailable")
    sent = say(alice, room, "still", attachments=[body["uuid"]])
    assert refused(files.read(bob, body), 503, "temporarily_unavailable")
    assert api(alice).delete(f"/api/chat/messages/{sent['uuid']}/").status_code == 204


def test_bytes_lie_where_only_the_server_reads_them(alice: Any, media: Path) -> None:
    files.upload(alice, b"text")
    (path,) = (path for path in media.rglob("*") if path.is_file())
    assert (path.stat().st_mode & 0o077, path.parent.stat().st_mode & 0o077) == (0, 0)


# --- An object store --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nanio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that checks signatures."""
    port = free_port()
    environment = {**os.environ, "NANIO_ACCESS_KEY": "key", "NANIO_SECRET_KEY": "se/cret+key"}
    folder = tmp_path_factory.mktemp("nanio")
    command = [sys.executable, "-m", "nanio", "serve", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--data-dir", str(folder), "--log-level", "error"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < until
            time.sleep(0.05)
        yield f"s3+http://key:se%2Fcret%2Bkey@127.0.0.1:{port}/alviar-test"
    finally:
        process.terminate()
        process.wait()


def fetch(url: str) -> tuple[int, bytes, Any]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, b"", error.headers


def test_bytes_of_an_object_store_are_read_by_a_signed_link(
    alice: Any, bob: Any, charlie: Any, settings: Any, nanio: str
) -> None:
    settings.STORAGE_URL = nanio
    body = files.upload(alice, files.image("PNG", (400, 300)), "نامه.png")
    say(alice, direct(alice, bob), "", attachments=[body["uuid"]])
    answer = files.read(bob, body)
    assert (answer.status_code, answer["Cache-Control"]) == (302, "private, no-cache")
    link = answer["Location"]
    assert "X-Amz-Expires=300" in link
    status, content, headers = fetch(link)
    assert (status, len(content), headers["Content-Type"]) == (200, body["size"], "image/png")
    assert fetch(link.replace("content?", "thumbnail?"))[0] == 403
    assert fetch(link[:-1] + ("0" if link[-1] != "0" else "1"))[0] == 403
    assert fetch(link.partition("?")[0])[0] in {401, 403}
    assert fetch(files.read(bob, body, "thumbnail/")["Location"])[0] == 200
    assert refused(files.read(charlie, body), 404, "not_found")


def test_object_store_does_all_that_a_folder_does(
    alice: Any, bob: Any, settings: Any, nanio: str, run_tasks: Callable[[], int]
) -> None:
    settings.STORAGE_URL = nanio
    file = files.upload(alice, b"<script>", "a.html")
    status, content, headers = fetch(files.read(alice, file)["Location"])
    assert (status, content, headers["Content-Type"]) == (200, b"<script>", "application/octet-stream")
    raw = files.voice_note(title=files.PRIVATE)
    path = begin(alice, len(raw), "note.ogg")
    patch(alice, path, 0, raw[:500])
    parts = list(UploadPart.objects.values_list("key", flat=True))
    note = {"uuid": patch(alice, path, 500, raw[500:])["Attachment-Uuid"]}
    run_tasks()
    note = files.meta(alice, note)
    assert (note["kind"], note["state"], len(note["waveform"])) == ("audio", "ready", 64)
    link = files.read(alice, note)["Location"]
    assert fetch(link)[0] == 200
    sent = say(alice, direct(alice, bob), "", attachments=[note["uuid"]])
    api(alice).delete(f"/api/chat/messages/{sent['uuid']}/")
    run_tasks()
    assert fetch(link)[0] == 404
    for key in [*parts, store.key_of(note["uuid"], store.ORIGINAL)]:
        with pytest.raises(store.StoreAway):
            store.open_object(key)


def test_wrong_key_of_the_store_is_503(alice: Any, settings: Any, nanio: str) -> None:
    settings.STORAGE_URL = nanio.replace("se%2Fcret", "wrong")
    assert refused(files.post(alice, b"text"), 503, "temporarily_unavailable")
    assert not Attachment.objects.exists()


@pytest.fixture
def silent() -> Iterator[tuple[int, list[socket.socket]]]:
    """A server that accepts and never answers."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], accepted
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in accepted:
        connection.close()


def test_hanging_store_is_503_and_the_next_do_not_wait_for_it(
    alice: Any, bob: Any, settings: Any, silent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, accepted = silent
    settings.STORAGE_URL = f"s3+http://a:b@127.0.0.1:{port}/bucket"
    monkeypatch.setattr(store, "TIMEOUT_SECONDS", 0.2)
    answer = files.post(alice, b"text")
    assert refused(answer, 503, "temporarily_unavailable")
    assert int(answer["Retry-After"]) >= 1
    asked = len(accepted)
    assert asked >= 1
    assert refused(files.post(bob, b"text"), 503, "temporarily_unavailable")
    assert len(accepted) == asked
    assert not Attachment.objects.exists()
    say(alice, direct(alice, bob), "text goes on")


# --- The scanner ------------------------------------------------------------------------------------------------------


@pytest.fixture
def clamd() -> Iterator[tuple[str, list[bytes]]]:
    """As much of clamd as INSTREAM needs. It finds EICAR, and takes 1,000,000 bytes."""
    scanned: list[bytes] = []

    def read(connection: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = connection.recv(size - len(data))
            if not piece:
                raise OSError
            data += piece
        return data

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _address = server.accept()
                    with connection, contextlib.suppress(OSError):
                        assert read(connection, 10) == b"zINSTREAM\0"
                        data = b""
                        while (size := struct.unpack("!L", read(connection, 4))[0]) and len(data) <= 1_000_000:
                            data += read(connection, size)
                        scanned.append(data)
                        if len(data) > 1_000_000:
                            connection.sendall(b"INSTREAM size limit exceeded. ERROR\0")
                        elif EICAR in data:
                            connection.sendall(b"stream: Eicar-Signature FOUND\0")
                        else:
                            connection.sendall(b"stream: OK\0")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}", scanned
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_scanner_refuses_what_it_finds(alice: Any, settings: Any, clamd: Any, media: Path) -> None:
    settings.ATTACHMENT_SCAN_URL, scanned = clamd
    assert refused(files.post(alice, b"before " + EICAR, "a.txt"), 400, "infected")
    assert not Attachment.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]
    large = os.urandom(600_000)
    files.upload(alice, large, "b.bin")
    assert scanned[1] == large
    assert refused(files.post(alice, bytes(3_000_000)), 413, "too_large")


def test_infected_resumable_upload_is_forgotten(
    alice: Any, settings: Any, clamd: Any, run_tasks: Callable[[], int], media: Path
) -> None:
    settings.ATTACHMENT_SCAN_URL, _scanned = clamd
    path = begin(alice, len(EICAR))
    patch(alice, path, 0, EICAR[:20])
    assert refused(patch(alice, path, 20, EICAR[20:]), 400, "infected")
    assert head(alice, path).status_code == 404
    run_tasks()
    assert not [path for path in media.rglob("*") if path.is_file()]


def test_without_a_scanner_that_answers_nothing_is_taken(
    alice: Any, settings: Any, silent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "TIMEOUT_SECONDS", 0.2)
    settings.ATTACHMENT_SCAN_URL = f"tcp://127.0.0.1:{silent[0]}"
    assert refused(files.post(alice, b"text"), 503, "temporarily_unavailable")
    settings.ATTACHMENT_SCAN_URL = f"tcp://127.0.0.1:{free_port()}"
    assert refused(files.post(alice, b"text"), 503, "temporarily_unavailable")
    assert not Attachment.objects.exists()


@pytest.fixture
def real_clamd(tmp_path: Path) -> Iterator[str]:
    """A clamd with one signature of our own, which takes a mebibyte."""
    program = shutil.which("clamd") or shutil.which("clamd", path="/usr/sbin")
    if program is None:
        pytest.skip("needs clamd (Debian: apt-get install clamav-daemon)")
    port, database = free_port(), tmp_path / "signatures"
    database.mkdir()
    (database / "ours.ndb").write_text(f"Alviar.Test:0:*:{b'this is a harmful letter'.hex()}\n")
    (tmp_path / "clamd.conf").write_text(
        f"DatabaseDirectory {database}\nTCPSocket {port}\nTCPAddr 127.0.0.1\nForeground yes\n"
        f"User {getpass.getuser()}\nStreamMaxLength 1M\nLogFile {tmp_path}/clamd.log\n"
    )
    process = subprocess.Popen(
        [program, "--config-file", str(tmp_path / "clamd.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            is_starting = process.poll() is None and time.monotonic() < until
            assert is_starting, (tmp_path / "clamd.log").read_text()
            time.sleep(0.05)
        yield f"tcp://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_real_clamd_takes_what_is_clean_and_refuses_what_it_finds(
    alice: Any, settings: Any, real_clamd: str, media: Path
) -> None:
    settings.ATTACHMENT_SCAN_URL = real_clamd
    assert refused(files.post(alice, b"Dear Bob, this is a harmful letter.", "a.txt"), 400, "infected")
    assert not Attachment.objects.exists()
    assert not [path for path in media.rglob("*") if path.is_file()]
    assert files.upload(alice, b"Dear Bob, this is a letter.")["kind"] == "file"
    assert files.upload(alice, files.image())["kind"] == "image"
    assert refused(files.post(alice, bytes(3 * 1024 * 1024)), 413, "too_large")
