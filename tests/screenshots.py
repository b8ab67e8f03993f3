"""Pictures of the admin, the mails and their pages: three languages, light and dark, phone and desktop.

    python -m tests.screenshots [FOLDER] [--axe path/to/axe.min.js]

They go to `test-artefacts/screenshots/` and are for looking at. With `--axe` every page is checked by axe-core as well;
findings of moderate impact or worse are printed and end it with 1.
"""

import argparse
import asyncio
import base64
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from tests import chromium, live

SIZES = {"phone": (360, 780), "desktop": (1280, 900)}
LANGUAGES = ("en", "fr", "ar")
SCHEMES = ("light", "dark")
LANDING = ("reset-password/#token=11111111-2222-4333-8444-555555555555", "verify-email/", "was-it-you/#key=1&answer=me")
ADMIN = {
    "index": "",
    "people": "users/user/",
    "person": "users/user/{person}/change/",
    "disable": "users/user/{person}/act/disable/",
    "sessions": "user_sessions/usersession/",
    "events": "users/securityevent/",
    "reports": "chat/report/",
    "report": "chat/report/{report}/change/",
    "audit": "admin/logentry/",
}
AXE = """axe.run(document, {resultTypes: ["violations"]}).then(found => JSON.stringify(found.violations
    .filter(one => ["moderate", "serious", "critical"].includes(one.impact))
    .map(one => [one.impact, one.id, one.nodes.slice(0, 3).map(node => node.target.join(" "))])))"""


def seed(server: live.Server) -> live.Person:
    """Make people who talk, one who is reported, and the mails that come of it."""
    alice, bob = server.person("amina"), server.person("badr")
    for _ in range(2):
        server.call(
            "POST",
            "/api/auth/login/",
            {"username": "badr", "password": live.PASSWORD},
            **{"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/128.0"},
        )
    for _ in range(6):
        server.call("POST", "/api/auth/login/", {"username": "amina", "password": "wrong"})
    talk = bob.direct(alice)
    for number in range(12):
        said = bob.say(talk, f"Line {number} of a long talk about gardens")
    alice.ok("POST", "/api/chat/reports/", {"message_uuid": said["uuid"], "reason": "He shouts at me."})
    for language in LANGUAGES:
        bob.ok("PATCH", "/api/users/me/", {"language": language})
        server.ok("POST", "/api/auth/password-reset/", {"email": "badr@example.com"})
        agent = {
            "User-Agent": f"Mozilla/5.0 (Linux; Android 14; Pixel {len(language) + ord(language[0])}) Chrome/126.0"
        }
        server.call("POST", "/api/auth/login/", {"username": "badr", "password": live.PASSWORD}, **agent)
        time.sleep(2)  # until the worker has written both
    return bob


async def main(folder: Path, axe: str) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    worst = 0
    with live.server(RATE_MAIL_ACCOUNT_HOURLY="0", RATE_PASSWORD_RESET="0", PUBLIC_APP_URL="alviar://home") as server:
        bob = await asyncio.to_thread(seed, server)
        async with chromium.tab() as tab:
            await sign_in(tab, server)
            listed = await text_of(tab, f"{server.base}/admin/chat/report/")
            report = re.search(r"/admin/chat/report/(\d+)/change/", listed)
            paths = {f"admin-{name}": f"/admin/{path}" for name, path in ADMIN.items()}
            paths = {
                name: path.format(person=bob.id, report=report[1] if report else 0) for name, path in paths.items()
            }
            paths |= {f"page-{path.partition('/')[0]}": f"/{path}" for path in LANDING}
            paths["page-unsubscribe"] = "/unsubscribe/?ticket=x"
            box = await text_of(tab, f"{server.base}/dev/mail/")
            names = list(dict.fromkeys(re.findall(r"/dev/mail/(\S+?\.eml)/", box)))
            mails = {name: f"/dev/mail/{name}/html/" for name in names[:8]}
            for scheme in SCHEMES:
                for size, (width, height) in SIZES.items():
                    await look(tab, scheme, width, height)
                    for language in LANGUAGES:
                        for name, path in paths.items():
                            await tab.go(server.base + path, language)
                            await picture(tab, folder / f"{name}-{language}-{scheme}-{size}.png")
                            if axe and scheme == "light":
                                worst |= await checked(tab, axe, f"{name} {language} {size}")
                    for number, path in enumerate(mails.values()):
                        await tab.go(server.base + path)
                        language = await tab.run("document.documentElement.lang")
                        await picture(tab, folder / f"mail-{number}-{language}-{scheme}-{size}.png")
    return worst


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


async def checked(tab: chromium.Tab, axe: str, name: str) -> int:
    await tab.run(axe + "; true")
    found = json.loads(await tab.run(AXE))
    for impact, rule, where in found:
        print(f"{name}: {impact} {rule} {where}")
    return 1 if found else 0


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("folder", nargs="?", default="test-artefacts/screenshots", type=Path)
    given.add_argument("--axe", type=Path)
    arguments = given.parse_args()
    sys.exit(asyncio.run(main(arguments.folder, arguments.axe.read_text() if arguments.axe else "")))
