"""A mailed link in a real browser: from the request to the new password, and where its secret goes on the way."""

import re
import time
from pathlib import Path

import pytest

from tests import chromium, live

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(chromium.BINARY is None, reason="needs Chromium: apt-get install chromium"),
]
NEW = "another horse battery"


@pytest.fixture(scope="module")
def server(shared: live.Server) -> live.Server:
    return shared


def mailed(server: live.Server, to: str, page: str) -> str:
    """Return the link of the newest mail to somebody, waiting for the worker."""
    folder, deadline = Path(server.environment["MAIL_DIR"]), time.monotonic() + live.WAIT_SECONDS
    while time.monotonic() < deadline:
        for file in sorted(folder.glob("*.eml"), reverse=True):
            text = file.read_text("utf-8")
            found = re.search(rf"^http\S+/{page}/#token=\S+$", text, re.MULTILINE)
            if found and f"To: {to}\n" in text:
                return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no mail to {to}")


def typed(password: str, again: str) -> str:
    return f"""
        document.getElementById("new_password").value = {password!r};
        document.getElementById("new_password_confirm").value = {again!r};
        document.querySelector("#act button").click();
    """


STATUS = "!document.getElementById('status').hidden && document.getElementById('status').textContent"
CALM = "!document.querySelector('#act button').disabled"


async def test_a_new_password_by_a_mailed_link_in_arabic(server):
    person = server.person()
    address = f"{person.name}@example.com"
    async with chromium.tab() as tab:
        await tab.go(f"{server.base}/reset-password/", "ar")
        assert await tab.run("getComputedStyle(document.body).direction") == "rtl"
        await tab.run(f"document.getElementById('email').value = '{address.upper()}'")
        await tab.run("document.querySelector('#ask button').click()")
        await tab.until(STATUS)
        link = mailed(server, address, "reset-password")
        secret = link.partition("=")[2]
        origin = link.partition("/reset-password/")[0]  # says `localhost`, which a passkey needs

        tab.requests.clear()
        await tab.go(link, "ar")
        assert await tab.run("location.pathname + location.hash") == "/reset-password/"
        for password, again in [("", ""), (NEW, "something else")]:  # seen by the page itself
            await tab.run(typed(password, again))
            assert await tab.until("document.querySelectorAll('[aria-invalid]').length")
        assert not [request for request in tab.requests if "/api/" in request["url"]]
        await tab.run(typed("12345678", "12345678"))
        refusal = await tab.until(f"{CALM} && document.getElementById('new_password-error').textContent")
        assert re.search("[\u0600-\u06ff]", refusal)
        assert await tab.run("document.activeElement.id") == "new_password"
        await tab.run(typed(NEW, NEW))
        await tab.until(f"{CALM} && {STATUS}")

        # The secret went to the API in bodies and nowhere else; nothing was fetched from anywhere else.
        assert {request["url"].split("/")[2] for request in tab.requests if "://" in request["url"]} == {
            origin.partition("://")[2]
        }
        assert not [request for request in tab.requests if secret in request["url"]]
        assert not [request for request in tab.requests if secret in request["headers"].get("Referer", "")]
        assert not [
            request for request in tab.requests if "/api/" in request["url"] and request["headers"].get("Referer")
        ]
        with_secret = [request["url"] for request in tab.requests if secret in request.get("postData", "")]
        assert set(with_secret) == {f"{origin}/api/auth/password-reset/confirm/"}
        assert not [line for line in tab.complaints if "Content Security Policy" in line]

        await tab.go(link)
        await tab.run(typed("a third horse battery", "a third horse battery"))
        assert "invalid or has expired" in await tab.until(f"{CALM} && {STATUS}")
        assert not await tab.run("document.getElementById('ask').hidden")  # another link is one field away
    assert secret not in server.log.read_text()
    login = {"username": person.name, "password": NEW}
    assert server.call("POST", "/api/auth/login/", login)[0] == 200
    assert server.call("GET", "/api/users/me/", token=person.access)[1]["reason"] == "session_revoked"


async def test_opening_a_verification_link_spends_nothing_and_a_click_does(server):
    person = server.person()
    link = mailed(server, f"{person.name}@example.com", "verify-email")
    async with chromium.tab() as tab:
        for _ in range(2):
            await tab.go(link)
        assert not person.ok("GET", "/api/users/me/")["email_verified"]
        french = await tab.run("document.querySelector('nav a[lang=fr]').href")
        await tab.go(french)  # the secret comes along to the page in another language
        await tab.run("document.querySelector('#act button').click()")
        assert "confirmée" in await tab.until(f"{CALM} && {STATUS}")
    assert person.ok("GET", "/api/users/me/")["email_verified"]


async def test_a_server_that_is_away_is_told_and_nothing_is_lost():
    with live.server() as server:
        async with chromium.tab() as tab:
            await tab.go(f"{server.base}/reset-password/#token=11111111-2222-4333-8444-555555555555")
            server.stop()
            await tab.run(typed(NEW, NEW))
            assert "could not be reached" in await tab.until(f"{CALM} && {STATUS}")
            assert await tab.run("document.getElementById('new_password').value") == NEW
