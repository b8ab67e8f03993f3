"""What an admin does reaches open sockets and tokens, on a real server."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests import live

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server(shared: live.Server) -> live.Server:
    return shared


@pytest.fixture
def admin(server: live.Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.base, follow_redirects=True, timeout=live.WAIT_SECONDS) as browser:
        form = {"username": "admin", "password": "alviar-demo", "next": "/admin/"}
        page = press(browser, "/admin/login/", form, at="/admin/login/?next=/admin/")
        assert page.status_code == 200
        assert "/admin/logout/" in page.text
        yield browser


def press(browser: httpx.Client, action: str, form: dict[str, str], *, at: str) -> httpx.Response:
    """Read the page at `at` and send its form to `action`, as a browser would."""
    secret = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(at).text)
    assert secret
    return browser.post(
        action, data={"csrfmiddlewaretoken": secret[1], **form}, headers={"Referer": str(browser.base_url)}
    )


@pytest.mark.promise
async def test_disabling_a_person_closes_the_socket_and_ends_the_tokens(server, admin):
    person = server.person()
    wire = await person.open()
    page = f"/admin/users/user/{person.id}/change/"
    press(admin, f"/admin/users/user/{person.id}/act/disable/", {}, at=page)
    assert await wire.closed() == 4504
    assert server.call("GET", "/api/users/me/", token=person.access)[1]["reason"] == "user_inactive"
    status, refused = server.call("POST", "/api/auth/token/refresh/", {"refresh": person.refresh})
    assert (status, refused["action"]) == (401, "login")
    assert server.call("POST", "/api/auth/login/", {"username": person.name, "password": live.PASSWORD})[0] == 401


@pytest.mark.promise
async def test_revoking_one_session_closes_its_socket_and_no_other(server, admin):
    first = server.person()
    second = server.sign_in(first.name)
    one, two = await first.open(), await second.open()
    listed = admin.get("/admin/user_sessions/usersession/", params={"q": first.sid}).text
    (row,) = set(re.findall(r"/admin/user_sessions/usersession/(\d+)/change/", listed))
    page = f"/admin/user_sessions/usersession/{row}/change/"
    press(admin, f"/admin/user_sessions/usersession/{row}/revoke/", {}, at=page)
    assert await one.closed() == 4503
    await two.ping()
    assert server.call("GET", "/api/users/me/", token=first.access)[1]["reason"] == "session_revoked"
    kinds = [event["kind"] for event in second.ok("GET", "/api/users/me/security-events/")["results"]]
    assert "session_revoked" in kinds
    await two.close()


@pytest.mark.promise
async def test_a_forced_reset_signs_out_everywhere(server, admin):
    person = server.person()
    wire = await person.open()
    page = f"/admin/users/user/{person.id}/change/"
    press(admin, f"/admin/users/user/{person.id}/act/force_reset/", {}, at=page)
    assert await wire.closed() == 4503
    assert server.call("POST", "/api/auth/login/", {"username": person.name, "password": live.PASSWORD})[0] == 401
