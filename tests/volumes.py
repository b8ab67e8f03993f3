"""What grows with the amount: `python -m tests.volumes uploads 10000`, `python -m tests.volumes transfer 100000`.

uploads: one person uploads so many files; the last tenth must take no longer than twice the first.
transfer: so many messages leave by `export_chat` and come in by `import_chat`; against a hundredth of them the peak of
memory of each command may grow by 20 MiB at most.
"""

import http.client
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import live

SEED = """
import uuid
from django.contrib.auth import get_user_model
from django.utils import timezone
from chat.models import Conversation, Event, Membership, Message
now = timezone.now()
people = [get_user_model().objects.create_user(f"p{n}", f"p{n}@example.com", "x") for n in "ab"]
COUNT = int("{count}")
if COUNT:
    room = Conversation.objects.create(kind="group", title="Many", created_at=now, updated_at=now)
    for person in people:
        Membership.objects.create(conversation=room, user=person, joined_at=now, joined_seq=0, joined_message_no=0)
for start in range(0, COUNT, 2000):
    numbers = range(start + 1, min(start + 2000, COUNT) + 1)
    made = Message.objects.bulk_create(
        Message(conversation=room, seq=n, message_no=n, sender=people[n % 2], content="what somebody says " * 6,
                client_msg_id=uuid.uuid4(), content_digest="0" * 64, created_at=now) for n in numbers)
    Event.objects.bulk_create(
        Event(conversation=room, seq=one.seq, kind="message.created", at=now, actor_id=one.sender_id, message=one)
        for one in made)
if COUNT:
    Conversation.objects.filter(pk=room.pk).update(last_seq=COUNT, last_message_no=COUNT, last_message=made[-1])
"""


def say(text: str) -> None:
    print(text, flush=True)


def uploads(count: int) -> None:
    with live.server(ATTACHMENT_QUOTA_BYTES="0") as server:
        person = server.person()
        wire = http.client.HTTPConnection(server.base.removeprefix("http://"), timeout=60)
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntext\r\n--x--\r\n'
        headers = {"Authorization": f"Bearer {person.access}", "Content-Type": "multipart/form-data; boundary=x"}
        took = []
        for number in range(count):
            started = time.perf_counter()
            wire.request("POST", "/api/chat/attachments/", body, headers)
            answer = wire.getresponse()
            answer.read()
            assert answer.status == 201, (number, answer.status)
            took.append(time.perf_counter() - started)
        part = max(1, count // 10)
        first, last = (sorted(one)[part // 2] * 1000 for one in (took[:part], took[-part:]))
        say(f"{count} uploads of one person: the median of the first tenth {first:.1f} ms, of the last {last:.1f} ms")
        if last > 2 * first:
            sys.exit("That grows.")


def manage(database: Path, *words: str, text: str = "") -> float:
    """Run a command on a database; return the peak of its memory in MiB."""
    environment = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    environment |= {"DATABASE_URL": f"sqlite:///{database}", "MEDIA_ROOT": str(database.parent / "media")}
    command = [sys.executable, "manage.py", *words]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, cwd=live.ROOT, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=said
        )
        assert process.stdin is not None
        process.stdin.write(text.encode())
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert process.returncode == 0, said.read().decode()
    return usage.ru_maxrss / 1024


def transfer(count: int) -> None:
    peaks: dict[str, list[float]] = {"export_chat": [], "import_chat": []}
    for size in (max(1, count // 100), count):
        with tempfile.TemporaryDirectory(prefix="alviar-volumes-") as folder:
            here, there, lines = (Path(folder, name) for name in ("here.sqlite3", "there.sqlite3", "chat.jsonl"))
            for database, messages in ((here, size), (there, 0)):
                manage(database, "migrate", "-v0")
                manage(database, "shell", text=SEED.replace("{count}", str(messages)))
            peaks["export_chat"].append(manage(here, "export_chat", str(lines)))
            peaks["import_chat"].append(manage(there, "import_chat", str(lines)))
            say(f"{size} messages, {lines.stat().st_size // 1024} KiB: " + ", ".join(
                f"{name} {values[-1]:.0f} MiB" for name, values in peaks.items()
            ))  # fmt: skip
    grown = {name: last - first for name, (first, last) in peaks.items()}
    if max(grown.values()) > 20:
        sys.exit(f"That grows: {grown}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in {"uploads", "transfer"}:
        sys.exit(__doc__)
    {"uploads": uploads, "transfer": transfer}[sys.argv[1]](int(sys.argv[2]))
