"""Conversations as JSON lines: what goes out and in again is the same, in the same order, under the same ids."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import models

from chat.media.models import Attachment
from chat.models import Conversation, Event, Membership, Mention, Message, MessageRevision, Reaction
from chat.tests import files
from chat.tests.calls import api, at, direct, group, say, shown

pytestmark = pytest.mark.django_db
MODELS: list[type[models.Model]] = [Membership, Message, MessageRevision, Reaction, Event, Mention, Attachment]
OWN_IDS = {"id", "conversation_id", "message_id", "reply_to_id", "last_message_id"}


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "media")
    return tmp_path / "media"


@pytest.fixture
def talk(alice: Any, bob: Any, charlie: Any, run_tasks: Callable[[], int]) -> list[dict[str, Any]]:
    """A direct conversation and a group in which everything happened that can."""
    room, pair = group(alice, bob, title="Garden"), direct(alice, bob)
    first = say(alice, room, "hello @bob")
    answer = say(bob, room, "an answer", reply_to=first["uuid"])
    api(alice).put(f"/api/chat/messages/{answer['uuid']}/reactions/👍/")
    api(bob).patch(f"/api/chat/messages/{answer['uuid']}/", {"content": "another answer"})
    gone = say(alice, room, "gone")
    api(alice).delete(f"/api/chat/messages/{gone['uuid']}/")
    api(alice).post(at(room, "members/"), {"user_ids": [charlie.pk]})
    api(charlie).post(at(room, "leave/"))
    api(bob).post(at(room, "seen/"), {})
    picture, note = files.upload(alice, files.image(), "a.png"), files.upload(alice, files.voice_note(), "b.ogg")
    say(alice, pair, "", attachments=[picture["uuid"], note["uuid"]])
    run_tasks()
    for number in range(20):
        say(alice, pair, f"{number}")
    return [room, pair]


def rows() -> dict[str, list[dict[str, Any]]]:
    """Return every row, without what is a number of this database alone."""
    found = {
        model.__name__: [
            {name: value for name, value in row.items() if name not in OWN_IDS}
            for row in model._default_manager.order_by("pk").values()
        ]
        for model in [Conversation, *MODELS]
    }
    found["replies"] = list(Message.objects.exclude(reply_to=None).values("uuid", "reply_to__uuid"))
    found["about"] = list(Event.objects.exclude(message=None).order_by("pk").values("seq", "message__uuid"))
    found["last"] = list(Conversation.objects.order_by("pk").values("uuid", "last_message__uuid"))
    return {name: sorted(found[name], key=str) for name in found}


def export(path: Path, *options: str) -> list[dict[str, Any]]:
    call_command("export_chat", str(path), *options, stderr=io.StringIO())
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def forget(media: Path) -> None:
    for model in reversed(MODELS):
        model._default_manager.all().delete()
    Conversation.objects.all().delete()
    for path in media.rglob("*"):
        if path.is_file():
            path.unlink()


def bring_in(path: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("import_chat", str(path), *options, stdout=out)
    return out.getvalue()


def test_what_comes_in_elsewhere_is_the_same_row_for_row(
    talk: list[dict[str, Any]], alice: Any, bob: Any, charlie: Any, tmp_path: Path, media: Path
) -> None:
    before, seen = rows(), [shown(bob, room) for room in talk]
    bytes_before = {path.name: path.read_bytes() for path in media.rglob("*") if path.is_file()}
    exported = export(tmp_path / "chat.jsonl")
    counts = exported[-1]["counts"]
    assert {name: counts[name] for name in ("conversation", "message", "event", "attachment")} == {
        "conversation": 2, "message": Message.objects.count(), "event": Event.objects.count(), "attachment": 2,
    }  # fmt: skip
    forget(media)
    told = bring_in(tmp_path / "chat.jsonl")
    assert f"{counts['message']} messages" in told
    assert rows() == before
    assert [shown(bob, room) for room in talk] == seen
    assert {path.name: path.read_bytes() for path in media.rglob("*") if path.is_file()} == bytes_before
    assert api(charlie).get(at(talk[0])).status_code == 404
    assert say(alice, talk[1], "and on")["seq"] == seen[1]["last_seq"] + 1


def test_conversations_that_are_here_already_are_passed_over(talk: Any, tmp_path: Path) -> None:
    before = rows()
    export(tmp_path / "chat.jsonl")
    assert "2 skipped" in bring_in(tmp_path / "chat.jsonl")
    assert rows() == before


def test_one_conversation_is_exported_alone_and_without_its_files(talk: Any, tmp_path: Path, media: Path) -> None:
    exported = export(tmp_path / "chat.jsonl", "--conversation", talk[1]["uuid"], "--without-files")
    assert [line["uuid"] for line in exported if line["line"] == "conversation"] == [talk[1]["uuid"]]
    assert not [line for line in exported if line["line"] == "bytes"]
    assert "alice" in {line.get("sender") for line in exported}


def test_people_who_are_not_here_stop_an_import_or_become_nobody(
    talk: Any, alice: Any, bob: Any, tmp_path: Path, media: Path
) -> None:
    export(tmp_path / "chat.jsonl")
    forget(media)
    bob.username = "robert"
    bob.save()
    with pytest.raises(CommandError, match="bob"):
        bring_in(tmp_path / "chat.jsonl")
    assert not Conversation.objects.exists()
    bring_in(tmp_path / "chat.jsonl", "--allow-missing-people")
    assert Message.objects.filter(sender=None).count() == 1
    assert shown(alice, talk[1])["members_count"] == 1


@pytest.mark.parametrize(
    "spoil", ["", "no json\n", '{"line": "what"}\n', '{"line": "end", "counts": {"message": 7}}\n']
)
def test_spoilt_file_brings_in_nothing(talk: Any, tmp_path: Path, media: Path, spoil: str) -> None:
    path = tmp_path / "chat.jsonl"
    export(path)
    forget(media)
    kept = path.read_bytes().splitlines(keepends=True)
    middle = 1 if "end" in spoil else 10
    path.write_bytes(b"".join(kept[:middle]) + spoil.encode())
    with pytest.raises(CommandError):
        bring_in(path)
    assert not Conversation.objects.exists()
    assert not Message.objects.exists()


def test_batches_may_be_of_any_size(talk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media: Path) -> None:
    from chat.transfer import lines

    monkeypatch.setattr(lines, "ROWS", 3)
    monkeypatch.setattr(lines, "BYTES", 100)
    before = rows()
    export(tmp_path / "chat.jsonl")
    forget(media)
    bring_in(tmp_path / "chat.jsonl")
    assert rows() == before
