"""Resumable uploads (tus 1.0)."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.utils import timezone

from chat.media import removal, store
from chat.media.models import Attachment, Upload
from chat.tests import files
from chat.tests.calls import BASE, api, codes, refused

pytestmark = pytest.mark.django_db
UPLOADS = f"{BASE}uploads/"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


def create(user: Any, length: int, name: str = "film.mp4", **headers: str) -> Any:
    metadata = f"filename {base64.b64encode(name.encode()).decode()},filetype dGV4dA==,empty"
    return api(user).post(
        UPLOADS, headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata, **headers}
    )


def begin(user: Any, length: int, name: str = "film.mp4") -> str:
    answer = create(user, length, name)
    assert answer.status_code == 201, answer.content
    return answer["Location"]


def patch(user: Any, path: str, offset: int, body: bytes, **headers: str) -> Any:
    sent = {**TUS, "Upload-Offset": str(offset), **headers}
    return api(user).generic("PATCH", path, body, content_type="application/offset+octet-stream", headers=sent)


def head(user: Any, path: str) -> Any:
    return api(user).head(path, headers=TUS)


def test_file_comes_in_pieces_and_becomes_an_attachment(alice: Any, run_tasks: Callable[[], int], media: Path) -> None:
    raw = files.video()
    path = begin(alice, len(raw), "../../my film.mp4")
    assert head(alice, path)["Upload-Offset"] == "0"
    first = patch(alice, path, 0, raw[:1_000])
    assert (first.status_code, first["Upload-Offset"], first.get("Attachment-Uuid")) == (204, "1000", None)
    assert (head(alice, path)["Upload-Offset"], head(alice, path)["Upload-Length"]) == ("1000", str(len(raw)))
    last = patch(alice, path, 1_000, raw[1_000:])
    assert (last.status_code, last["Upload-Offset"]) == (204, str(len(raw)))
    attachment = {"uuid": last["Attachment-Uuid"]}
    assert head(alice, path)["Attachment-Uuid"] == attachment["uuid"]
    run_tasks()
    ready = files.meta(alice, attachment)
    assert (ready["kind"], ready["state"], ready["name"]) == ("video", "ready", "my film.mp4")
    assert files.content(files.read(alice, attachment)) == raw
    assert sorted(file.name for file in media.rglob("*") if file.is_file()) == ["content", "thumbnail"]
    for answer in (first, last, head(alice, path)):
        assert (answer["Tus-Resumable"], answer["Cache-Control"]) == ("1.0.0", "no-store")
        assert answer["Upload-Expires"].endswith("GMT")


def test_options_say_what_is_spoken(alice: Any, settings: Any) -> None:
    answer = api(alice).options(UPLOADS)
    assert (answer.status_code, answer["Tus-Version"], answer["Tus-Max-Size"]) == (204, "1.0.0", "104857600")
    assert answer["Tus-Extension"] == "creation,expiration,termination"


def test_wrong_offset_is_a_conflict_and_changes_nothing(alice: Any, media: Path) -> None:
    path = begin(alice, 10)
    assert patch(alice, path, 0, b"01234").status_code == 204
    for offset in (0, 4, 6):
        assert refused(patch(alice, path, offset, b"x"), 409, "offset_conflict")
    assert refused(patch(alice, path, 5, b"567890"), 413, "too_large")
    assert patch(alice, path, 5, b"").status_code == 204
    done = patch(alice, path, 5, b"56789")
    assert files.content(files.read(alice, {"uuid": done["Attachment-Uuid"]})) == b"0123456789"
    assert refused(patch(alice, path, 5, b"x"), 409, "offset_conflict")
    again = patch(alice, path, 10, b"")  # whose answer was lost
    assert again["Attachment-Uuid"] == done["Attachment-Uuid"]


def test_two_that_send_the_same_piece_store_it_once(alice: Any, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = begin(alice, 4)
    save = store.save

    def meanwhile(key: str, source: Any, **options: Any) -> None:
        monkeypatch.setattr(store, "save", save)
        assert patch(alice, path, 0, b"01").status_code == 204
        save(key, source, **options)

    monkeypatch.setattr(store, "save", meanwhile)
    assert refused(patch(alice, path, 0, b"01"), 409, "offset_conflict")
    done = patch(alice, path, 2, b"23")
    assert files.content(files.read(alice, {"uuid": done["Attachment-Uuid"]})) == b"0123"


def test_upload_is_its_owners_alone(alice: Any, bob: Any) -> None:
    path = begin(alice, 10)
    assert head(bob, path).status_code == 404
    assert refused(patch(bob, path, 0, b"01234"), 404, "not_found")
    assert refused(api(bob).delete(path, headers=TUS), 404, "not_found")
    assert head(alice, path)["Upload-Offset"] == "0"


def test_strangers_may_not_begin_one(api: Any) -> None:
    assert refused(api.post(UPLOADS, headers={**TUS, "Upload-Length": "4"}), 401, "not_authenticated")


def test_what_is_malformed_is_refused(alice: Any, settings: Any) -> None:
    old = create(alice, 10, **{"Tus-Resumable": "0.2.2"})
    assert refused(old, 412, "unknown_tus_version")
    assert old["Tus-Version"] == "1.0.0"
    for length in ("", "-1", "1e3", "٣", "9" * 30):
        assert codes(create(alice, 10, **{"Upload-Length": length}), "Upload-Length") == ["invalid"]
    assert codes(create(alice, 10, **{"Upload-Metadata": "filename %%"}), "Upload-Metadata") == ["invalid"]
    assert codes(create(alice, 0), "file") == ["empty"]
    settings.UPLOAD_BYTES = 1_000
    assert refused(create(alice, 1_001), 413, "too_large")
    path = begin(alice, 10)
    json = api(alice).patch(path, {}, headers={**TUS, "Upload-Offset": "0"})
    assert refused(json, 415, "unsupported_media_type")
    assert codes(patch(alice, path, 0, b"x", **{"Upload-Offset": "x"}), "Upload-Offset") == ["invalid"]


def test_terminated_upload_leaves_nothing(alice: Any, run_tasks: Callable[[], int], media: Path) -> None:
    path = begin(alice, 10)
    patch(alice, path, 0, b"01234")
    assert api(alice).delete(path, headers=TUS).status_code == 204
    run_tasks()
    assert head(alice, path).status_code == 404
    assert not [file for file in media.rglob("*") if file.is_file()]


def test_upload_expires_after_a_day(alice: Any, run_tasks: Callable[[], int], media: Path) -> None:
    path = begin(alice, 10)
    patch(alice, path, 0, b"01234")
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert head(alice, path).status_code == 404
        assert removal.purging._registered["unfinished uploads"].batch(10) == 1
        run_tasks()
    assert not Upload.objects.exists()
    assert not [file for file in media.rglob("*") if file.is_file()]


def test_room_is_reserved_when_an_upload_begins(alice: Any, settings: Any) -> None:
    settings.ATTACHMENT_QUOTA_BYTES = 1_000
    path = begin(alice, 600)
    assert refused(create(alice, 600), 413, "quota_exceeded")
    assert refused(files.post(alice, bytes(600)), 413, "quota_exceeded")
    assert patch(alice, path, 0, bytes(600)).status_code == 204
    assert Attachment.objects.get().size == 600
    files.upload(alice, bytes(400))


def test_store_that_is_away_at_the_end_costs_a_retry_and_no_byte(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = begin(alice, 10)
    patch(alice, path, 0, b"01234")
    save = store.save

    def parts_only(key: str, source: Any, **options: Any) -> None:
        if key.startswith("attachments/"):
            raise store.StoreAway
        save(key, source, **options)

    monkeypatch.setattr(store, "save", parts_only)
    assert refused(patch(alice, path, 5, b"56789"), 503, "temporarily_unavailable")
    assert head(alice, path).status_code == 503
    monkeypatch.undo()
    done = head(alice, path)
    assert (done["Upload-Offset"], done.status_code) == ("10", 200)
    assert files.content(files.read(alice, {"uuid": done["Attachment-Uuid"]})) == b"0123456789"


def test_upload_that_is_being_finished_is_busy_until_its_finisher_is_taken_for_dead(alice: Any) -> None:
    path = begin(alice, 2)
    patch(alice, path, 0, b"0")
    Upload.objects.update(finishing_at=timezone.now())
    assert refused(patch(alice, path, 1, b"1"), 423, "upload_busy")
    with time_machine.travel(timezone.now() + timedelta(minutes=3)):
        assert head(alice, path)["Attachment-Uuid"]


def test_a_method_that_uploads_do_not_know_is_405_whatever_it_speaks(alice):
    path = f"{UPLOADS}{UUID(int=1)}/"
    for method in ("get", "post", "put"):
        assert refused(getattr(api(alice), method)(path), 405, "method_not_allowed")
