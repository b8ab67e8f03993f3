"""Pictures of the admin, every mail and the pages of mailed links, each checked by axe-core.

    python -m tests.screenshots [FOLDER] [--short]

Three languages, light and dark, phone and desktop; they go to `test-artefacts/office/` (or below `CI_ARTEFACTS`)
and are for looking at. `--short` takes a part of the combinations in which each language, look and size comes up.
Findings of moderate impact or worse, and pages that are wider than their window, are printed and end it with 1.
"""

import argparse
import asyncio
import base64
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import chromium, live

SIZES = {"phone": (360, 780), "desktop": (1280, 900)}
LANGUAGES = ("en", "fr", "ar")
SCHEMES = ("light", "dark")
SHORT = (("en", "light", "desktop"), ("fr", "dark", "phone"), ("ar", "light", "phone"))
AXE_FILE = Path(__file__).parent.parent / "client/node_modules/axe-core/axe.min.js"
PAGES = {
    "page-reset-password": "/reset-password/#token=11111111-2222-4333-8444-555555555555",
    "page-forgotten-password": "/reset-password/",
    "page-verify-email": "/verify-email/",
    "page-was-it-you": "/was-it-you/#key=1&answer=me",
    "page-unsubscribe": "/unsubscribe/?ticket=x",
}
ADMIN = {
    "index": "",
    "people": "users/user/",
    "person": "users/user/{person}/change/",
    "new-person": "users/user/add/",
    "disable": "users/user/{person}/act/disable/",
    "second-factor": "users/user/{person}/second-factor/",
    "sessions": "user_sessions/usersession/",
    "session": "user_sessions/usersession/{session}/change/",
    "revoke": "user_sessions/usersession/{session}/revoke/",
    "events": "users/securityevent/",
    "reports": "chat/report/?status=all",
    "report": "chat/report/{report}/change/",
    "conversations": "chat/conversation/",
    "conversation": "chat/conversation/{conversation}/change/",
    "words": "chat/moderatedword/",
    "new-word": "chat/moderatedword/add/",
    "groups": "auth/group/",
    "group": "auth/group/{group}/change/",
    "audit": "admin/logentry/",
    "tokens": "token_blacklist/outstandingtoken/",
    "tasks": "django_tasks_database/dbtaskresult/",
    "password": "password_change/",
}
# A mail is shown inside of a page, whose landmarks are not the mail's.
AXE = """axe.run(document, {resultTypes: ["violations"], rules: location.protocol === "file:"
    ? {"landmark-one-main": {enabled: false}, region: {enabled: false}} : {}})
    .then(found => JSON.stringify(found.violations
    .filter(one => ["moderate", "serious", "critical"].includes(one.impact))
    .map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(node => node.target.join(" "))])))"""
STILL = """document.getAnimations().every(one =>
    one.effect?.getTiming().iterations === Infinity || one.playState === "finished")"""
# Every mail in every language, as files that a browser opens. Run by `manage.py shell` on the server's database.
MAILS = """
from pathlib import Path
from datetime import timedelta
from django.utils import timezone
from users.mail import letters
from users.models import SecurityEvent, User
user = User.objects.get(username="badr")
event = SecurityEvent.objects.filter(user=user, kind="new_device").first()
User.objects.filter(pk=user.pk).update(email_verified=True)
context = {"event_id": str(event.pk), "new_email": "badr@elsewhere.example", "code": "493027",
           "text": "No insults, please.", "until": (timezone.now() + timedelta(days=7)).isoformat()}
for language in ("en", "fr", "ar"):
    User.objects.filter(pk=user.pk).update(language=language)
    user.refresh_from_db()
    for name in letters.LETTERS:
        message = letters.write(user, name, to=user.email, language=language, context=context)
        Path(FOLDER, f"{name}-{language}.html").write_text(message.alternatives[0][0])
"""


def seed(server: live.Server) -> dict[str, Any]:
    """Make people who talk, one who is reported, and the rows that the admin shows; return what the paths need."""
    alice, bob = server.person("amina"), server.person("badr")
    agents = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0",
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
    )
    for agent in agents:
        server.call(
            "POST", "/api/auth/login/", {"username": "badr", "password": live.PASSWORD}, **{"User-Agent": agent}
        )
    for _ in range(6):
        server.call("POST", "/api/auth/login/", {"username": "amina", "password": "wrong"})
    group = bob.ok("POST", "/api/chat/conversations/", {"kind": "group", "title": "Garden", "user_ids": [alice.id]})
    bob.ok("PATCH", f"/api/chat/conversations/{group['uuid']}/", {"slow_mode_seconds": 30})
    for number in range(12):
        said = bob.say(group["uuid"], f"Line {number} of a long talk about gardens")
    alice.ok("POST", "/api/chat/reports/", {"message_uuid": said["uuid"], "reason": "He shouts at me."})
    return {"person": bob.id}


def combinations(*, short: bool) -> Iterator[tuple[str, str, str]]:
    yield from SHORT if short else itertools.product(LANGUAGES, SCHEMES, SIZES)


async def main(folder: Path, *, short: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    axe = AXE_FILE.read_text()
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="alviar-screens-") as place:
        environment = live.environment_of(Path(place), PUBLIC_APP_URL="alviar://home")
        server = live.start("uvicorn", environment, Path(place) / "log")
        try:
            known = await asyncio.to_thread(seed, server)
            for command in ("staff_groups",), ("shell", "-c", f"FOLDER = {place!r}\n{MAILS}"):
                subprocess.run(
                    [sys.executable, "manage.py", *command], env=environment, check=True, capture_output=True
                )
            mails = sorted(Path(place).glob("*.html"))
            async with chromium.tab() as tab:
                await sign_in(tab, server)
                lists = {"report": "chat/report", "conversation": "chat/conversation", "group": "auth/group"}
                for name, path in {**lists, "session": "user_sessions/usersession"}.items():
                    found = re.search(rf"/{path}/(\d+)/change/", await text_of(tab, f"{server.base}/admin/{path}/"))
                    assert found, path
                    known[name] = found[1]
                paths = {f"admin-{name}": f"/admin/{path.format(**known)}" for name, path in ADMIN.items()} | PAGES
                for language, scheme, size in combinations(short=short):
                    await look(tab, scheme, *SIZES[size])
                    every = [(name, server.base + path) for name, path in paths.items()]
                    every += [
                        (f"mail-{file.stem.removesuffix('-' + language)}", file.as_uri())
                        for file in mails
                        if file.stem.endswith(f"-{language}")
                    ]
                    for name, address in every:
                        await tab.go(address, language)
                        problems += await seen(tab, axe, folder / f"{name}-{language}-{scheme}-{size}.png")
        finally:
            live.end(server.process)
    for problem in problems:
        print(problem)
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}, {len(problems)} findings")
    return 1 if problems else 0


async def seen(tab: chromium.Tab, axe: str, path: Path) -> list[str]:
    """Take the picture; return what is wrong with the page."""
    await tab.until(STILL)
    await picture(tab, path)
    await tab.run(f"{axe}; true")
    problems = [f"{path.stem}: {impact} {rule} {where}" for impact, rule, where in json.loads(await tab.run(AXE))]
    beyond = await tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*problems, *([f"{path.stem}: {beyond} px too wide"] if beyond > 0 else [])]


async def sign_in(tab: chromium.Tab, server: live.Server) -> None:
    await tab.go(f"{server.base}/admin/login/?next=/admin/")
    await tab.run(
        'document.getElementById("id_username").value = "admin";'
        'document.getElementById("id_password").value = "alviar-demo";'
        'document.getElementById("login-form").submit()'
    )
    await tab.until("location.pathname === '/admin/' && document.readyState === 'complete'")


async def text_of(tab: chromium.Tab, address: str) -> str:
    await tab.go(address)
    return str(await tab.run("document.documentElement.outerHTML"))


async def look(tab: chromium.Tab, scheme: str, width: int, height: int) -> None:
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
    )
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


async def picture(tab: chromium.Tab, path: Path) -> None:
    size: Any = await tab.call("Page.getLayoutMetrics")
    content = size["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": content["width"], "height": min(content["height"], 3000), "scale": 1}
    shot = await tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    path.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    artefacts = Path(os.environ.get("CI_ARTEFACTS", "test-artefacts"))
    given.add_argument("folder", nargs="?", default=artefacts / "office", type=Path)
    given.add_argument("--short", action="store_true")
    arguments = given.parse_args()
    sys.exit(asyncio.run(main(arguments.folder, short=arguments.short)))
