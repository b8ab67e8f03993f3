"""The page at `/`."""

import re
from urllib.parse import parse_qsl

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from common.errors import ProviderUnavailable
from config import static_files
from users.factors import oidc


def test_page_runs_nothing_inline_and_nothing_from_outside(client: Client) -> None:
    response = client.get("/")
    policy = response["Content-Security-Policy"]
    assert response.status_code == 200
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    html = response.content.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="/static/app/app.js">']


def test_files_of_the_page_are_there_without_node() -> None:
    for name in (
        "app.js",
        "shared.js",
        "Messenger.js",
        "SignIn.js",
        "Settings.js",
        "fr.js",
        "ar.js",
        "app.css",
        "sw.js",
        "icon.svg",
        "icon-512.png",
    ):
        assert finders.find(f"app/{name}"), name


def test_page_follows_the_language_of_the_browser(client: Client) -> None:
    html = client.get("/", headers={"accept-language": "ar"}).content.decode()
    assert '<html lang="ar" dir="rtl">' in html


def test_demo_people_stand_in_the_page_only_where_they_may_sign_in(client: Client, settings) -> None:
    settings.PRODUCTION, settings.EMBEDDED_DATABASE, settings.HOST = False, True, "127.0.0.1"
    assert "alviar-demo" in client.get("/").content.decode()
    settings.HOST = "0.0.0.0"
    assert "alviar-demo" not in client.get("/").content.decode()
    settings.HOST, settings.PRODUCTION = "127.0.0.1", True
    assert "alviar-demo" not in client.get("/").content.decode()


def test_page_is_read_only(client: Client) -> None:
    assert client.post("/").status_code == 405


def test_downloads_may_be_redirected_to_the_object_store_and_nowhere_else(client: Client, settings) -> None:
    def connect_src() -> str:
        policy = dict(each.split(" ", 1) for each in client.get("/")["Content-Security-Policy"].split("; "))
        return policy["connect-src"]

    settings.STORAGE_URL = ""
    assert connect_src() == "'self'"
    settings.STORAGE_URL = "s3+http://key:se%2Fcret@store.example:9000/bucket"
    assert connect_src() == "'self' http://store.example:9000"
    settings.STORAGE_URL = "s3://key:secret@store.example/bucket"
    assert connect_src() == "'self' https://store.example"


def test_page_can_be_installed(client: Client) -> None:
    assert '<link rel="manifest" href="/manifest.webmanifest">' in client.get("/").content.decode()
    answer = client.get("/manifest.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    document = answer.json()
    assert (document["start_url"], document["scope"], document["display"]) == ("/", "/", "standalone")
    assert {each["purpose"] for each in document["icons"]} == {"any", "maskable"}
    for icon in document["icons"]:
        assert finders.find(icon["src"].removeprefix("/static/")), icon


def test_service_worker_may_act_for_the_whole_page(client: Client) -> None:
    answer = client.get("/sw.js")
    assert answer["Content-Type"].startswith("text/javascript")
    assert answer["Cache-Control"] == "no-cache"
    assert b"addEventListener('push'" in answer.content


def test_page_offers_only_the_ways_in_that_the_server_has(client: Client, settings) -> None:
    settings.EMAIL_CODE_LOGIN, settings.SOCIAL_PROVIDERS = False, []
    html = client.get("/").content.decode()
    assert "data-email-code" not in html
    assert "data-social" not in html
    settings.EMAIL_CODE_LOGIN, settings.SOCIAL_PROVIDERS = True, ["google", "acme"]
    html = client.get("/").content.decode()
    assert 'data-email-code="on"' in html
    assert 'data-social="google acme"' in html


NONCE, STATE = "0f5c1d3e-nonce-nonce", "9a8b7c6d-state-state"


@pytest.fixture
def acme(settings, monkeypatch):
    settings.SOCIAL_PROVIDERS = ["acme"]
    settings.SOCIAL = {"acme": {"issuer": "https://id.example", "client_ids": ["our-web", "our-app"]}}
    settings.PUBLIC_URL = "https://chat.example.com"
    monkeypatch.setattr(oidc, "endpoint", lambda provider, name: "https://id.example/authorize?tenant=1")


def test_a_provider_is_asked_for_an_id_token_that_is_bound_to_this_browser(client: Client, acme) -> None:
    answer = client.get("/sign-in/acme/", {"nonce": NONCE, "state": STATE}, headers={"host": "localhost"})
    assert answer.status_code == 302
    address, question = answer["Location"].split("?tenant=1&")
    assert address == "https://id.example/authorize"
    assert dict(parse_qsl(question)) == {
        "client_id": "our-web",
        "redirect_uri": "https://chat.example.com/",
        "response_type": "id_token",
        "response_mode": "fragment",
        "scope": "openid email profile",
        "nonce": NONCE,
        "state": STATE,
    }


@pytest.mark.parametrize(
    ("provider", "question"),
    [
        ("other", {"nonce": NONCE, "state": STATE}),
        ("acme", {}),
        ("acme", {"nonce": NONCE, "state": "a b&redirect_uri=https://evil.example"}),
    ],
    ids=["not-offered", "without-a-nonce", "with-something-else"],
)
def test_no_other_way_leads_out(client: Client, acme, provider, question) -> None:
    assert client.get(f"/sign-in/{provider}/", question).status_code == 404


def test_a_provider_that_is_away_leads_back_to_the_page(client: Client, acme, monkeypatch) -> None:
    def away(provider: str, name: str) -> str:
        raise ProviderUnavailable

    monkeypatch.setattr(oidc, "endpoint", away)
    answer = client.get("/sign-in/acme/", {"nonce": NONCE, "state": STATE})
    assert answer["Location"] == f"/#error=provider_unavailable&state={STATE}"


def test_files_of_the_page_are_asked_for_again_so_that_they_fit_each_other() -> None:
    kept: dict[str, str] = {}
    static_files.headers(kept, "/srv/static/app/shared.js", "/static/app/shared.js")
    assert kept == {"Cache-Control": "no-cache"}
    kept.clear()
    static_files.headers(kept, "/srv/static/admin/css/base.css", "/static/admin/css/base.css")
    assert kept == {}
