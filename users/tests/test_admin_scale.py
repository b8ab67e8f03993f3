"""What the admin costs does not grow with what it holds: no count, no offset, as many statements for any size."""

import csv
import io
import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from common import csv_export
from sessions.models import UserSession
from users.mail import enqueue
from users.models import SecurityEvent, User

pytestmark = pytest.mark.django_db
LISTS = [
    "users_user",
    "users_securityevent",
    "user_sessions_usersession",
    "admin_logentry",
    "token_blacklist_outstandingtoken",
    "token_blacklist_blacklistedtoken",
    "django_tasks_database_dbtaskresult",
]


@pytest.fixture
def boss(admin_person):
    browser = Browser()
    browser.force_login(admin_person)
    browser.who = admin_person
    return browser


def fill(count, admin):
    """Store so many people, each with a session, an event and a line of the audit."""
    now, first = timezone.now(), User.objects.count()
    people = User.objects.bulk_create(
        User(username=f"person{first + n}", email=f"person{first + n}@example.com", password="!") for n in range(count)
    )
    until = now + timedelta(days=7)
    UserSession.objects.bulk_create(
        UserSession(
            user=one, created_at=now, last_seen_at=now, expires_at=until, idle_expires_at=until,
            absolute_expires_at=until, ip_address="5.6.7.8",
        )
        for one in people
    )  # fmt: skip
    # All at one moment: the key alone tells them apart.
    SecurityEvent.objects.bulk_create(SecurityEvent(user=one, kind="login", at=now) for one in people)
    kind = ContentType.objects.get_for_model(User)
    LogEntry.objects.bulk_create(
        LogEntry(
            user=admin, content_type=kind, object_id=str(one.pk), object_repr=one.username, action_flag=CHANGE,
            change_message="unlock",
        )
        for one in people
    )  # fmt: skip
    return people


def statements(browser, path, **query):
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = browser.get(path, query)
    assert answer.status_code == 200
    return [one["sql"] for one in seen.captured_queries]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_takes_the_same_statements_at_any_size_and_counts_nothing(boss, name):
    path = reverse(f"admin:{name}_changelist")
    fill(60, boss.who)
    statements(boss, path)  # content types are read once
    few = statements(boss, path)
    fill(240, boss.who)
    many = statements(boss, path)
    assert len(many) == len(few) <= 6
    for sql in many:
        assert "OFFSET" not in sql
        assert "COUNT(*)" not in sql


def test_a_persons_page_takes_the_same_statements_at_any_size(boss, bob):
    path = reverse("admin:users_user_change", args=[bob.pk])
    now = timezone.now()
    statements(boss, path)
    few = statements(boss, path)
    until = now + timedelta(days=7)
    UserSession.objects.bulk_create(
        UserSession(
            user=bob, created_at=now, last_seen_at=now, expires_at=until, idle_expires_at=until,
            absolute_expires_at=until,
        )
        for _ in range(100)
    )  # fmt: skip
    SecurityEvent.objects.bulk_create(SecurityEvent(user=bob, kind="login", at=now) for _ in range(100))
    many = statements(boss, path)
    assert len(many) == len(few) <= 30
    page = boss.get(path).content.decode()
    assert page.count("/admin/user_sessions/usersession/") <= 22  # ten rows, each with its "Revoke", "all", the menu
    assert page.index('id="sessions"') < page.index('id="timeline"') < page.index("user_permissions")


@pytest.mark.parametrize("name", ["users_user", "users_securityevent", "user_sessions_usersession", "admin_logentry"])
def test_pages_follow_each_other_without_a_gap_there_and_back(boss, name):
    fill(120, boss.who)
    path = reverse(f"admin:{name}_changelist")
    row = re.compile(r'name="_selected_action" value="([^"]+)"|<th class="field[^"]*"><a href="[^"]+/([^/"]+)/change/')

    def read(page):
        html = boss.get(page).content.decode()
        found = list(dict.fromkeys(one or two for one, two in row.findall(html)))
        link = {rel: href.replace("&amp;", "&") for href, rel in re.findall(r'href="(\?[^"]+)" rel="(\w+)"', html)}
        return found, link

    pages, page = [], path
    while True:
        found, link = read(page)
        pages.append(found)
        if "next" not in link:
            break
        page = path + link["next"]
    assert [len(one) for one in pages[:-1]] == [50] * (len(pages) - 1)
    flat = [pk for one in pages for pk in one]
    assert len(flat) == len(set(flat)) >= 120
    back, link = read(path + link["prev"])
    assert back == pages[-2]
    assert read(path + link["prev"])[0] == pages[-3]
    assert "prev" not in read(path)[1]


@pytest.mark.parametrize("place", ["x", "~", "2026~", "9" * 400, "\x00", "2026-01-01T00:00:00+00:00~nobody"])
@pytest.mark.parametrize("name", ["users_user", "users_securityevent"])
def test_a_place_that_nobody_wrote_shows_the_first_page(boss, name, place):
    answer = boss.get(reverse(f"admin:{name}_changelist"), {"after": place})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("users_user", "person7"),
        ("users_user", "person7@example.com"),
        ("user_sessions_usersession", "person7"),
        ("user_sessions_usersession", "PERSON7@example.com"),
        ("users_securityevent", "person7"),
        ("admin_logentry", "person7"),
    ],
)
def test_a_search_finds_one_person_and_not_their_neighbours(boss, name, term):
    fill(12, boss.who)
    path = reverse(f"admin:{name}_changelist")
    html = boss.get(path, {"q": term}).content.decode()
    assert len(re.findall(r'<tr><(?:td class="action|th class="field|td class="field)', html)) == 1
    assert "person7" in html
    for sql in statements(boss, path, q=term):
        assert "%person7" not in sql  # a wildcard in front reads every row


def test_an_action_reaches_what_is_ticked_and_never_everything(boss):
    people = fill(60, boss.who)
    data = {"action": "disable", "_selected_action": [people[0].pk], "select_across": "1", "confirmed": "yes"}
    boss.post(reverse("admin:users_user_changelist"), data)
    assert User.objects.filter(is_active=False).count() == 1


# --- The audit ---


def exported(browser, **query):
    answer = browser.get(reverse("admin:admin_logentry_export"), query)
    assert answer.status_code == 200
    assert answer.streaming
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


def test_the_audit_is_exported_whole_and_in_order(boss, monkeypatch):
    monkeypatch.setattr(csv_export, "ROWS", 7)
    people = fill(20, boss.who)
    rows = exported(boss)
    assert [row["object"] for row in rows] == [*(one.username for one in people), "audit.csv"]  # the export itself
    assert {row["actor"] for row in rows} == {"admin"}
    assert rows[0]["change"] == "Lift the lockout"
    assert exported(boss, q="person3")[0]["object"] == "person3"
    assert len(exported(boss, q="person3")) == 1


def test_a_spreadsheet_runs_nothing_of_an_export(boss):
    LogEntry.objects.create(user=boss.who, object_id="1", object_repr="=cmd|' /C calc'!A0", action_flag=CHANGE)
    assert exported(boss)[0]["object"] == "'=cmd|' /C calc'!A0"


def test_the_export_is_for_those_who_may_read_the_audit(boss, person):
    browser = Browser()
    browser.force_login(person("clerk", is_staff=True))
    path = reverse("admin:admin_logentry_export")
    assert browser.get(path).status_code == 403
    assert Browser().get(path).status_code == 302
    assert boss.post(path).status_code == 405


# --- Groups ---


def test_support_sees_people_and_no_table_of_developers(person):
    call_command("staff_groups", verbosity=0)
    call_command("staff_groups", verbosity=0)
    clerk = person("clerk", is_staff=True)
    clerk.groups.add(Group.objects.get(name="Support"))
    browser = Browser()
    browser.force_login(clerk)
    index = browser.get("/admin/").content.decode()
    assert "/admin/users/user/" in index
    for name in LISTS:
        seen = browser.get(reverse(f"admin:{name}_changelist")).status_code
        assert seen == (200 if name in {"users_user", "users_securityevent", "user_sessions_usersession"} else 403)
    for hidden in ("token_blacklist", "django_tasks_database", "/admin/auth/group/"):
        assert hidden not in index
    given = set(Permission.objects.filter(group__name="Support").values_list("codename", flat=True))
    assert not [name for name in given if name.startswith(("add_", "delete_"))]


def test_a_task_shows_not_what_it_was_asked_with(boss, bob):
    enqueue.send_password_reset(email="secret.address@example.com")
    row = DBTaskResult.objects.get()
    for path in ("changelist", "change"):
        args = [row.pk] if path == "change" else []
        html = boss.get(reverse(f"admin:django_tasks_database_dbtaskresult_{path}", args=args)).content.decode()
        assert "send_to_address" in html
        assert "secret.address" not in html
    found = boss.get(reverse("admin:django_tasks_database_dbtaskresult_changelist"), {"q": str(uuid.uuid4())})
    assert "send_to_address" not in found.content.decode()


def test_the_audit_is_filtered_by_what_an_act_was_about(boss):
    fill(3, boss.who)
    assert len(exported(boss, about="users.user")) == 3
    assert exported(boss, about="chat.report") == []
    assert len([row for row in exported(boss, about="x") if row["object"] != "audit.csv"]) == 3


def test_an_export_stands_in_the_audit_with_what_was_asked_for(boss):
    fill(1, boss.who)
    exported(boss, about="users.user")
    entry = LogEntry.objects.get(object_repr="audit.csv")
    assert entry.user_id == boss.who.pk
    page = boss.get("/admin/admin/logentry/").content.decode()
    assert "Exported the audit log about=users.user" in page
    boss.head("/admin/admin/logentry/export/")  # asks nothing out
    assert LogEntry.objects.filter(object_repr="audit.csv").count() == 1
