"""The page at `/`."""

import re

from django.contrib.staticfiles import finders
from django.test import Client


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
    for name in ("app.js", "app.css", "icon.svg"):
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
