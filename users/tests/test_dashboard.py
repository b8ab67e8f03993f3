"""The figures on the admin's first page: what they say, to whom, and that they stay cheap."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from common import dashboard
from common.client import Client
from sessions.services import lifecycle
from users.mail import enqueue
from users.models import SecurityEvent, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(admin_person):
    browser = Browser()
    browser.force_login(admin_person)
    cache.clear()
    return browser


def figure(browser, name, language="en"):
    html = browser.get("/admin/", headers={"accept-language": language}).content.decode()
    found = re.search(rf'<section class="figure \w+" id="figure-{name}".*?</section>', html, re.DOTALL)
    return found and found[0]


def test_sign_ins_failures_and_lockouts_are_counted_by_the_hour(boss, bob):
    now = timezone.now()
    SecurityEvent.objects.create(user=bob, kind="login", at=now)
    SecurityEvent.objects.create(user=bob, kind="login_failed", at=now, detail={"count": 41})
    SecurityEvent.objects.create(user=bob, kind="lockout", at=now)
    SecurityEvent.objects.create(user=bob, kind="login", at=now - timedelta(hours=30))
    shown = figure(boss, "sign-ins")
    assert "sign-ins: 1; wrong passwords: 41; lockouts: 1" in re.sub(r"\s+", " ", shown)
    assert shown.count("<polyline") == 3
    assert shown.count('<th scope="row">') == 24  # the same as a table


def test_living_sessions_are_counted_by_country_and_system(boss, bob, alice):
    agent = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0.0.0 Mobile Safari/537.36"
    for who in (alice, bob):
        lifecycle.start(user=who, client=Client(ip_address="41.100.1.1", user_agent=agent))
    lifecycle.revoke_all(user_id=bob.pk)
    assert re.search(r"<bdi>DZ</bdi>.*?>1<", figure(boss, "countries"), re.DOTALL)
    assert re.search(r"<bdi>Android</bdi>.*?>1<", figure(boss, "systems"), re.DOTALL)


def test_what_waits_is_counted(boss, bob):
    for _ in range(3):
        enqueue.send(bob.pk, "password_changed")
    row = re.search(r"mails</th><td[^>]*><bdi[^>]*>(\d+)<", figure(boss, "tasks"))
    assert row[1] == "3"


def test_storage_and_sockets_are_plain_numbers(boss):
    assert re.search(r'<dd><bdi dir="ltr">[\d.,]+ [KMG]iB</bdi></dd>', figure(boss, "storage"))
    assert re.search(r'<dt>sockets</dt><dd><bdi dir="ltr">\d+</bdi></dd>', figure(boss, "sockets"))


def test_a_figure_is_kept_for_some_seconds_and_the_page_takes_few_statements(boss, bob):
    boss.get("/admin/")
    with CaptureQueriesContext(connection) as kept:
        boss.get("/admin/")
    assert len(kept) <= 6
    cache.clear()
    with CaptureQueriesContext(connection) as few:
        boss.get("/admin/")
    people = User.objects.bulk_create(User(username=f"p{n}", password="!") for n in range(200))
    SecurityEvent.objects.bulk_create(SecurityEvent(user=one, kind="login", at=timezone.now()) for one in people)
    cache.clear()
    with CaptureQueriesContext(connection) as many:
        boss.get("/admin/")
    assert len(many) == len(few) <= 16


@pytest.mark.parametrize(
    ("permission", "shown", "hidden"),
    [
        ("view_securityevent", {"sign-ins"}, {"countries", "tasks", "storage", "messages"}),
        ("view_usersession", {"countries", "systems", "sockets"}, {"sign-ins", "tasks", "storage"}),
        ("view_report", set(), {"sign-ins", "countries", "tasks", "storage", "messages", "sent", "pushes"}),
    ],
)
def test_a_figure_is_for_those_who_may_see_its_rows(person, permission, shown, hidden):
    clerk = person("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename=permission))
    browser = Browser()
    browser.force_login(clerk)
    for name in shown:
        assert figure(browser, name)
    for name in hidden:
        assert not figure(browser, name)


def test_a_figure_that_cannot_be_read_takes_nothing_else_with_it(boss, monkeypatch):
    def broken():
        raise OSError

    one = dashboard.Figure(id="broken", title="Broken", make=broken, series={"a": "a"})
    monkeypatch.setattr(dashboard, "_figures", [one, *dashboard._figures])
    assert "cannot be read" in figure(boss, "broken")
    assert "<polyline" in figure(boss, "sign-ins")


def test_nothing_is_inline_and_every_drawing_says_what_it_shows(boss):
    answer = boss.get("/admin/")
    html = answer.content.decode()
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\bsrc=)", html)
    for drawing in re.findall(r'<svg class="(?:plot|bar)"[^>]*>', html):
        assert 'role="img" aria-label="' in drawing or 'aria-hidden="true"' in drawing


@pytest.mark.parametrize(("language", "title"), [("fr", "Connexions"), ("ar", "عمليات الدخول")])
def test_figures_speak_the_readers_language(boss, language, title):
    assert title in figure(boss, "sign-ins", language)


@pytest.mark.parametrize(
    ("value", "ceiling"), [(0, 2), (1, 2), (3, 4), (7, 8), (41, 60), (99, 100), (101, 200), (1999, 2000), (850, 1000)]
)
def test_the_scale_is_round(value, ceiling):
    assert dashboard._ceiling(value) == ceiling
