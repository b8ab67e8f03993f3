"""Uploads in one piece: what they turn out to be, what is left of them, and who may read them."""

import base64
import io
import signal
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from PIL import Image

from chat.media import decoder, decoding, removal
from chat.media.models import Attachment
from chat.models import Event, Membership
from chat.tests import files
from chat.tests.calls import api, at, codes, direct, events, group, refused, say, shown

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


def kept(media: Path) -> list[str]:
    return sorted(path.name for path in media.rglob("*") if path.is_file())


# --- What it is -------------------------------------------------------------------------------------------------------


def test_picture_is_ready_at_once_with_all_that_a_list_of_messages_needs(alice: Any) -> None:
    body = files.upload(alice, files.image("PNG", (400, 300)), "garden.png")
    path = f"/api/chat/attachments/{body['uuid']}/"
    assert {key: body[key] for key in ("kind", "state", "name", "content_type", "width", "height")} == {
        "kind": "image", "state": "ready", "name": "garden.png", "content_type": "image/png", "width": 400,
        "height": 300,
    }  # fmt: skip
    assert (body["url"], body["thumbnail_url"]) == (path, f"{path}thumbnail/")
    assert (body["duration_ms"], body["waveform"]) == (None, None)
    assert 5 <= len(base64.b64decode(body["thumbhash"], validate=True)) <= 25
    read = files.read(alice, body)
    content = files.content(read)
    assert Image.open(io.BytesIO(content)).size == (400, 300)
    assert len(content) == body["size"] == int(read["Content-Length"])
    thumbnail = Image.open(io.BytesIO(files.content(files.read(alice, body, "thumbnail/"))))
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 240))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_every_format_of_pictures_keeps_its_format(alice: Any, format: str) -> None:
    body = files.upload(alice, files.image(format), "a")
    assert (body["kind"], body["content_type"]) == ("image", f"image/{format.lower()}")
    assert Image.open(io.BytesIO(files.content(files.read(alice, body)))).format == format


def test_photo_loses_its_metadata_and_stands_upright(alice: Any) -> None:
    raw = files.photo((64, 48))
    assert files.PRIVATE.encode() in raw
    body = files.upload(alice, raw, "a.jpg")
    content = files.content(files.read(alice, body))
    assert files.PRIVATE.encode() not in content
    assert (body["width"], body["height"]) == Image.open(io.BytesIO(content)).size == (48, 64)
    assert not Image.open(io.BytesIO(content)).getexif()


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_animation_stays_one(alice: Any, format: str) -> None:
    body = files.upload(alice, files.animation(format), "a")
    copy = Image.open(io.BytesIO(files.content(files.read(alice, body))))
    assert (body["kind"], copy.n_frames) == ("image", 4)
    copy.seek(1)
    copy.load()
    assert copy.info["duration"] == 120


def test_large_picture_is_processed_by_a_task_and_unreadable_until_then(
    alice: Any, run_tasks: Callable[[], int]
) -> None:
    body = files.upload(alice, files.photo((2_000, 1_500)), "a.jpg")
    assert (body["state"], body["kind"], body["width"], body["height"]) == ("processing", "image", 1_500, 2_000)
    assert (body["thumbhash"], body["thumbnail_url"]) == (None, None)
    assert refused(files.read(alice, body), 503, "temporarily_unavailable")
    run_tasks()
    ready = files.meta(alice, body)
    assert (ready["state"], ready["width"]) == ("ready", 1_500)
    assert ready["thumbhash"]
    assert files.PRIVATE.encode() not in files.content(files.read(alice, ready))


def test_voice_note_gets_a_length_and_a_waveform_and_loses_its_tags(alice: Any, run_tasks: Callable[[], int]) -> None:
    raw = files.voice_note(title=files.PRIVATE)
    assert files.PRIVATE.encode() in raw
    body = files.upload(alice, raw, "note.ogg")
    assert (body["kind"], body["content_type"]) == ("audio", "audio/ogg")
    run_tasks()
    ready = files.meta(alice, body)
    assert ready["state"] == "ready"
    assert abs(ready["duration_ms"] - 2_000) < 50
    assert len(ready["waveform"]) == 64
    assert max(ready["waveform"]) == 255
    assert min(ready["waveform"]) >= 0
    assert ready["waveform"][5] < ready["waveform"][60]  # it grows louder
    assert (ready["width"], ready["thumbnail_url"]) == (None, None)
    assert files.PRIVATE.encode() not in files.content(files.read(alice, ready))


def test_without_a_decoder_a_recording_is_a_file_and_nothing_fails(
    alice: Any, run_tasks: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(request: dict[str, Any], *_: float) -> dict[str, Any]:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "av", None)
            answer = decoder.answer(request)
        if "refused" in answer:
            raise decoding.Undecodable(answer["refused"])
        return answer

    monkeypatch.setattr(decoding, "_ask", ask)
    for content, name in ((files.voice_note(), "note.ogg"), (files.video(), "film.mp4")):
        body = files.upload(alice, content, name)
        run_tasks()
        assert (body["kind"], body["content_type"], body["state"]) == ("file", "application/octet-stream", "ready")
        empty = ("width", "height", "duration_ms", "thumbhash", "waveform", "thumbnail_url")
        assert [body[field] for field in empty] == [None] * len(empty)
        assert files.content(files.read(alice, body)) == content
    assert files.upload(alice, files.image())["kind"] == "image"


@pytest.mark.parametrize(
    ("format", "codec", "content_type"),
    [("ipod", "aac", "audio/mp4"), ("webm", "libopus", "audio/webm"), ("mp3", "libmp3lame", "audio/mpeg")],
)
def test_sound_in_a_container_of_video_is_sound(
    alice: Any, run_tasks: Callable[[], int], format: str, codec: str, content_type: str
) -> None:
    body = files.upload(alice, files.voice_note(format, codec), "a")
    run_tasks()
    ready = files.meta(alice, body)
    assert (ready["kind"], ready["state"], ready["content_type"]) == ("audio", "ready", content_type)


@pytest.mark.parametrize(("format", "codec"), [("mp4", "libx264"), ("webm", "libvpx")])
def test_video_gets_a_poster_and_a_length_and_loses_its_tags(
    alice: Any, run_tasks: Callable[[], int], format: str, codec: str
) -> None:
    raw = files.video(format, codec, title=files.PRIVATE)
    assert files.PRIVATE.encode() in raw
    body = files.upload(alice, raw, "a.mp4")
    run_tasks()
    ready = files.meta(alice, body)
    assert (ready["kind"], ready["state"], ready["content_type"]) == ("video", "ready", f"video/{format}")
    assert (ready["width"], ready["height"], ready["duration_ms"]) == (160, 120, 2_000)
    assert ready["thumbhash"]
    assert files.read(alice, ready, "thumbnail/")["Content-Type"] == "image/webp"
    copy = files.content(files.read(alice, ready))
    assert files.PRIVATE.encode() not in copy
    assert len(copy) == ready["size"]


# --- What it only claims to be ----------------------------------------------------------------------------------------

HTML = b"<!doctype html><script>alert(document.cookie)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def bomb() -> bytes:
    """A PNG of 50,000 x 50,000 black pixels in a few hundred bytes of head and little more of data."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = (50_000).to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    data = zlib.compress(bytes(6_251 * 2_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "raw",
    [
        HTML,
        SVG,
        b"%PDF-1.7 " + HTML,
        b"GIF89a/*" + HTML,
        b"\xff\xd8\xff" + HTML,
        b"\x89PNG\r\n\x1a\n" + HTML,
        b"RIFF\x10\0\0\0WEBP" + HTML,
        b"OggS" + HTML,
        b"ID3" + HTML,
        b"\0\0\0\x18ftypisom" + HTML,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        files.image("PNG")[:200],
        files.video()[:400],
        bomb(),
    ],
    ids=range(14),
)
def test_what_does_not_decode_as_what_it_claims_is_a_file_and_never_shown(
    alice: Any, run_tasks: Callable[[], int], raw: bytes
) -> None:
    body = files.upload(alice, raw, "holiday.png")
    run_tasks()
    body = files.meta(alice, body)
    assert (body["kind"], body["state"]) == ("file", "ready")
    assert (body["content_type"], body["width"], body["thumbnail_url"]) == ("application/octet-stream", None, None)
    answer = files.read(alice, body)
    assert files.content(answer) == raw
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="holiday.png"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


def test_polyglot_keeps_its_picture_and_loses_the_rest(alice: Any) -> None:
    body = files.upload(alice, files.image("JPEG") + b"PK\x03\x04" + HTML, "a.jpg.html")
    answer = files.read(alice, body)
    assert body["kind"] == "image"
    assert answer["Content-Type"] == "image/jpeg"
    assert b"<script" not in files.content(answer)


def test_endless_animation_is_not_decoded(alice: Any, run_tasks: Callable[[], int]) -> None:
    out = io.BytesIO()
    Image.new("1", (1, 1)).save(
        out, "GIF", save_all=True, append_images=[Image.new("1", (1, 1), n % 2) for n in range(1_700)], duration=20
    )
    body = files.upload(alice, out.getvalue(), "a.gif")
    run_tasks()
    assert files.meta(alice, body)["kind"] == "file"


def test_decoder_that_crashes_or_hangs_harms_nobody(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    files.upload(alice, files.image("PNG"), "a.png")
    monkeypatch.setattr(decoding, "PROBE_SECONDS", 0.01)
    for running in decoding._free:
        if running.process is not None:
            running.process.send_signal(signal.SIGSTOP)
    assert files.upload(alice, files.image("PNG"), "a.png")["kind"] == "file"
    monkeypatch.undo()
    assert files.upload(alice, files.image("PNG"), "a.png")["kind"] == "image"
    for running in decoding._free:
        if running.process is not None:
            running.process.kill()
            running.process.wait()
    assert files.upload(alice, files.image("PNG"), "a.png")["kind"] == "image"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\plan.txt", "plan.txt"),
        ("..", "file"),
        ("a\u202egnp.exe", "agnp.exe"),
        ("نامه\u200cها.pdf", "نامه\u200cها.pdf"),
        ("👩\u200d🌾.txt", "👩\u200d🌾.txt"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
    ],
)
def test_name_keeps_its_letters_and_loses_paths_and_controls(alice: Any, given: str, name: str) -> None:
    body = files.upload(alice, b"text", given)
    assert body["name"] == name
    assert "\n" not in files.read(alice, body)["Content-Disposition"]


def test_what_is_no_upload_is_refused(alice: Any, settings: Any, media: Path) -> None:
    client = api(alice)
    assert codes(client.post(files.ATTACHMENTS, {}, format="multipart"), "file") == ["required"]
    assert codes(client.post(files.ATTACHMENTS, {"file": "text"}, format="multipart"), "file") == ["invalid"]
    assert codes(files.post(alice, b""), "file") == ["empty"]
    assert refused(client.post(files.ATTACHMENTS, {"file": "x"}, format="json"), 415, "unsupported_media_type")
    cut = client.post(files.ATTACHMENTS, b"--x\r\nContent-Disp", content_type="multipart/form-data")
    assert cut.status_code == 400
    settings.ATTACHMENT_BYTES = 2_000
    assert refused(files.post(alice, bytes(2_001)), 413, "too_large")
    assert not Attachment.objects.exists()
    assert not kept(media)


def test_strangers_may_not_upload(api: Any) -> None:
    assert refused(
        api.post(files.ATTACHMENTS, {"file": io.BytesIO(b"x")}, format="multipart"), 401, "not_authenticated"
    )


# --- Who reads it -----------------------------------------------------------------------------------------------------


def test_only_the_uploader_reads_what_is_unsent(alice: Any, bob: Any) -> None:
    body = files.upload(alice, b"text", "a.txt")
    for path in ("", "meta/", "thumbnail/"):
        assert refused(files.read(bob, body, path), 404, "not_found")
    assert files.read(alice, body).status_code == 200
    assert refused(files.read(alice, body, "thumbnail/"), 404, "not_found")


def test_members_read_it_and_strangers_do_not(alice: Any, bob: Any, charlie: Any) -> None:
    body = files.upload(alice, b"text", "a.txt")
    say(alice, direct(alice, bob), "look", attachments=[body["uuid"]])
    assert files.content(files.read(bob, body)) == b"text"
    assert refused(files.read(charlie, body), 404, "not_found")
    assert files.read(bob, body)["Cache-Control"].startswith("private")


def test_hidden_history_hides_bytes_as_it_hides_text(alice: Any, bob: Any, charlie: Any) -> None:
    room = group(alice, bob)
    body = files.upload(alice, b"text", "a.txt")
    say(alice, room, "before", attachments=[body["uuid"]])
    api(alice).post(at(room, "members/"), {"user_ids": [charlie.pk]})
    assert refused(files.read(charlie, body), 404, "not_found")
    later = files.upload(alice, b"later", "b.txt")
    say(alice, room, "after", attachments=[later["uuid"]])
    assert files.content(files.read(charlie, later)) == b"later"


def test_removed_members_link_dies(alice: Any, bob: Any) -> None:
    room = group(alice, bob)
    body = files.upload(alice, b"text", "a.txt")
    say(alice, room, "", attachments=[body["uuid"]])
    assert files.read(bob, body).status_code == 200
    assert api(alice).delete(at(room, f"members/{bob.pk}/")).status_code == 204
    for path in ("", "meta/"):
        assert refused(files.read(bob, body, path), 404, "not_found")


def test_download_that_runs_ends_when_the_member_is_removed(
    alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chat.rest import attachment_views

    monkeypatch.setattr(attachment_views, "RECHECK_SECONDS", -1.0)
    monkeypatch.setattr(attachment_views.store, "BLOCK_BYTES", 4)
    room = group(alice, bob)
    body = files.upload(alice, b"a long text", "a.txt")
    say(alice, room, "", attachments=[body["uuid"]])
    blocks = iter(files.read(bob, body).streaming_content)
    assert next(blocks) == b"a lo"
    Membership.objects.filter(user=bob).update(left_seq=9, left_at=timezone.now())
    with pytest.raises(ConnectionAbortedError):
        next(blocks)


# --- Ranges -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-9", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_range_of_bytes(alice: Any, asked: str, status: int, content: bytes, told: str | None) -> None:
    body = files.upload(alice, b"0123456789", "a.txt")
    answer = files.read(alice, body, Range=asked)
    assert (answer.status_code, files.content(answer), answer.get("Content-Range")) == (status, content, told)
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Length"] == str(len(content))


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_range_beyond_the_end(alice: Any, asked: str) -> None:
    body = files.upload(alice, b"0123456789", "a.txt")
    answer = files.read(alice, body, Range=asked)
    assert refused(answer, 416, "range_not_satisfiable")
    assert answer["Content-Range"] == "bytes */10"


def test_unchanged_bytes_are_not_sent_again(alice: Any) -> None:
    body = files.upload(alice, b"0123456789", "a.txt")
    etag = files.read(alice, body)["ETag"]
    assert files.read(alice, body, **{"If-None-Match": etag}).status_code == 304
    changed = files.read(alice, body, Range="bytes=0-3", **{"If-Range": '"other"'})
    assert (changed.status_code, files.content(changed)) == (200, b"0123456789")
    assert files.read(alice, body, Range="bytes=0-3", **{"If-Range": etag}).status_code == 206


# --- In messages ------------------------------------------------------------------------------------------------------


def test_message_carries_its_attachments_in_their_order(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    bodies = [files.upload(alice, f"{n}".encode(), f"{n}.txt") for n in range(10)][::-1]
    sent = say(alice, room, "", attachments=[body["uuid"] for body in bodies])
    assert sent["attachments"] == bodies
    (read,) = api(bob).get(at(room, "messages/")).json()["results"]
    assert (read["content"], read["attachments"]) == ("", bodies)
    assert shown(bob, room)["last_message"]["attachments"] == bodies


def test_attachments_that_may_not_be_sent(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    mine, theirs = files.upload(alice, b"a"), files.upload(bob, b"b")

    def send(*uuids: str, **fields: Any) -> Any:
        return api(alice).post(at(room, "messages/"), {"content": "x", "attachments": list(uuids), **fields})

    assert codes(send(theirs["uuid"]), "attachments") == ["does_not_exist"]
    assert codes(send("2f6e2a52-9d6c-4b0e-8d0a-0d8f3a5a6c11"), "attachments") == ["does_not_exist"]
    assert codes(send(mine["uuid"], mine["uuid"]), "attachments") == ["does_not_exist"]
    assert codes(send(*[mine["uuid"]] * 11), "attachments") == ["max_length"]
    assert codes(send("no uuid"), "attachments") == ["invalid"]
    assert send(mine["uuid"]).status_code == 201
    assert codes(send(mine["uuid"]), "attachments") == ["does_not_exist"]


def test_repeat_with_other_attachments_is_a_conflict(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    one, other = files.upload(alice, b"a"), files.upload(alice, b"b")
    fields = {"content": "x", "client_msg_id": "7f1f0d5e-54a5-4f39-8a5e-0a2f4f1f9f10"}
    calls = api(alice)
    first = calls.post(at(room, "messages/"), {**fields, "attachments": [one["uuid"]]})
    again = calls.post(at(room, "messages/"), {**fields, "attachments": [one["uuid"]]})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["attachments"] == again.json()["attachments"] == [one]
    for uuids in ([other["uuid"]], [one["uuid"], other["uuid"]], []):
        answer = calls.post(at(room, "messages/"), {**fields, "attachments": uuids})
        assert refused(answer, 409, "idempotency_conflict")


def test_text_may_be_edited_away_where_attachments_stay(alice: Any, bob: Any) -> None:
    room = direct(alice, bob)
    sent = say(alice, room, "look", attachments=[files.upload(alice, b"a")["uuid"]])
    edited = api(alice).patch(f"/api/chat/messages/{sent['uuid']}/", {"content": ""})
    assert (edited.status_code, edited.json()["content"]) == (200, "")
    assert edited.json()["attachments"] == sent["attachments"]
    plain = say(alice, room, "text")
    assert codes(api(alice).patch(f"/api/chat/messages/{plain['uuid']}/", {"content": ""}), "content") == ["blank"]


@pytest.mark.django_db(transaction=True)
def test_deleted_message_loses_its_bytes_at_once(alice: Any, bob: Any, media: Path) -> None:
    room = direct(alice, bob)
    body = files.upload(alice, files.image(), "a.png")
    sent = say(alice, room, "look", attachments=[body["uuid"]])
    assert kept(media) == ["content", "thumbnail"]
    assert api(alice).delete(f"/api/chat/messages/{sent['uuid']}/").status_code == 204
    assert kept(media) == []
    assert not Attachment.objects.exists()
    assert refused(files.read(alice, body), 404, "not_found")
    (left,) = api(bob).get(at(room, "messages/")).json()["results"]
    assert left["attachments"] == []


def test_members_are_told_when_a_recording_is_ready(alice: Any, bob: Any, run_tasks: Callable[[], int]) -> None:
    from chat.log import encoding
    from common import json

    room = direct(alice, bob)
    body = files.upload(alice, files.sound(), "a.wav")
    sent = say(alice, room, "", attachments=[body["uuid"]])
    assert sent["attachments"][0]["state"] == "processing"
    run_tasks()
    assert events(room)[-1][1] == "attachment.ready"
    (encoded,) = encoding.encode(list(Event.objects.order_by("-seq")[:1]))
    data = json.loads(encoded.raw)["data"]
    assert data == {"message_uuid": sent["uuid"], "attachment": files.meta(bob, body)}
    assert data["attachment"]["state"] == "ready"


def test_recording_that_is_taken_back_while_it_is_processed_leaves_nothing(
    alice: Any, bob: Any, media: Path, run_tasks: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = direct(alice, bob)
    sent = say(alice, room, "", attachments=[files.upload(alice, files.sound(), "a.wav")["uuid"]])
    decode = decoding.decode

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        assert api(alice).delete(f"/api/chat/messages/{sent['uuid']}/").status_code == 204
        return decode(*args, **kwargs)

    monkeypatch.setattr(decoding, "decode", meanwhile)
    run_tasks()
    assert kept(media) == []
    assert not Attachment.objects.exists()
    assert "attachment.ready" not in dict(map(reversed, events(room)))


# --- Quota, clean-up, closing -----------------------------------------------------------------------------------------


def test_quota_is_the_persons_and_what_is_deleted_counts_no_more(alice: Any, bob: Any, settings: Any) -> None:
    settings.ATTACHMENT_QUOTA_BYTES = 1_000
    room = direct(alice, bob)
    sent = say(alice, room, "", attachments=[files.upload(alice, bytes(600))["uuid"]])
    assert refused(files.post(alice, bytes(600)), 413, "quota_exceeded")
    files.upload(bob, bytes(600))
    api(alice).delete(f"/api/chat/messages/{sent['uuid']}/")
    files.upload(alice, bytes(600))


def test_what_nobody_sent_is_removed_after_a_day(
    alice: Any, bob: Any, run_tasks: Callable[[], int], media: Path
) -> None:
    sent = files.upload(alice, b"sent")
    say(alice, direct(alice, bob), "", attachments=[sent["uuid"]])
    unsent = files.upload(alice, b"unsent")
    batch = removal.purging._registered["unsent attachments"].batch
    with time_machine.travel(timezone.now() + timedelta(hours=23)):
        assert batch(100) == 0
    with time_machine.travel(timezone.now() + timedelta(hours=25)):
        assert batch(100) == 1
        run_tasks()
    assert files.read(alice, sent).status_code == 200
    assert refused(files.read(alice, unsent), 404, "not_found")
    assert len(kept(media)) == 1


def test_closed_account_takes_along_what_it_did_not_send(
    alice: Any, bob: Any, run_tasks: Callable[[], int], media: Path
) -> None:
    from chat import receivers

    sent = files.upload(alice, b"sent", "a.txt")
    say(alice, direct(alice, bob), "", attachments=[sent["uuid"]])
    files.upload(alice, b"unsent")
    told = receivers.export(alice.pk)["chat"]["attachments"]
    assert [(row["name"], row["size"]) for row in told] == [("a.txt", 4), ("file.bin", 6)]
    receivers.leave_everything(alice.pk)
    run_tasks()
    assert files.content(files.read(bob, sent)) == b"sent"
    assert refused(files.read(alice, sent), 404, "not_found")
    assert len(kept(media)) == 1


def test_ten_thousand_uploads_of_one_person_cost_as_little_as_one(alice: Any, django_assert_num_queries: Any) -> None:
    now = timezone.now()
    Attachment.objects.bulk_create(
        Attachment(uploader=alice, name="x", size=10, content_type="x", state="ready", created_at=now)
        for _ in range(10_000)
    )
    from chat.media import quota

    with django_assert_num_queries(2):
        assert quota.used(alice.pk) == 100_000
    files.upload(alice, b"one more")
