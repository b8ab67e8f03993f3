"""The admin: who may, what it shows, and that what it does takes effect at once."""

import re

import pyotp
import pytest
import structlog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken

from common.client import Client
from common.signals import user_suspended
from conftest import PASSWORD
from sessions.models import UserSession
from sessions.services import lifecycle
from sessions.tokens import sealing
from users.factors import recovery_codes
from users.mail import single_use
from users.models import PasswordResetToken, SecurityEvent, TotpFactor, User
from users.tests.factors import code_at

pytestmark = pytest.mark.django_db
ACTS = ["unlock", "verify_email", "force_reset", "sign_out", "disable", "enable"]


@pytest.fixture(autouse=True)
def mails(monkeypatch):
    sent = []
    monkeypatch.setattr("users.mail.enqueue.send", lambda user_id, name, **context: sent.append((user_id, name)))
    return sent


@pytest.fixture
def boss(admin_person):
    browser = Browser()
    browser.force_login(admin_person)
    return browser


@pytest.fixture
def staff(person):
    """Staff with the permissions named: `staff("view_user")`."""

    def staff(*codenames):
        who = person("staff", is_staff=True)
        who.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert who.user_permissions.count() == len(codenames)
        browser = Browser()
        browser.force_login(who)
        browser.who = who
        return browser

    return staff


def page_of(user):
    return reverse("admin:users_user_change", args=[user.pk])


def act(browser, user, name):
    return browser.post(reverse("admin:users_user_act", args=[user.pk, name]), follow=True)


def start(user, **details):
    return lifecycle.start(user=user, client=Client(ip_address="41.100.1.1", user_agent="tests"), **details)


def form_of(browser, user, **changes):
    """Return what a browser would send for the person's page with `changes` made in it."""
    form = browser.get(page_of(user)).context["adminform"].form
    data = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    data = {name: value for name, value in {**data, **changes}.items() if value not in (None, False)}
    return {name: [row.pk for row in value] if isinstance(value, list) else value for name, value in data.items()}


# --- Who may ---


def everything(user, user_session):
    event = SecurityEvent.objects.create(user=user, kind="login", at=timezone.now())
    return [
        "/admin/",
        reverse("admin:users_user_changelist"),
        reverse("admin:users_user_add"),
        page_of(user),
        reverse("admin:users_user_history", args=[user.pk]),
        reverse("admin:users_securityevent_changelist"),
        reverse("admin:users_securityevent_change", args=[event.pk]),
        reverse("admin:user_sessions_usersession_changelist"),
        reverse("admin:user_sessions_usersession_change", args=[user_session.pk]),
        reverse("admin:token_blacklist_blacklistedtoken_changelist"),
        reverse("admin:token_blacklist_outstandingtoken_changelist"),
        reverse("admin:admin_logentry_changelist"),
    ]


def test_nobody_but_staff_gets_past_the_sign_in(alice, bob):
    row = start(bob).user_session
    for browser in (Browser(), Browser()):
        for path in everything(bob, row):
            answer = browser.get(path)
            assert answer.status_code == 302
            assert answer["Location"].startswith("/admin/login/")
        for name in ACTS:
            assert browser.post(reverse("admin:users_user_act", args=[bob.pk, name])).status_code == 302
        browser.force_login(alice)
    bob.refresh_from_db()
    assert bob.is_active


def test_a_bearer_token_opens_no_admin_page(admin_person, sign_in):
    assert sign_in(admin_person).get("/admin/").status_code == 302


def test_staff_without_permissions_see_and_do_nothing(staff, bob):
    browser, row = staff(), start(bob).user_session
    for path in everything(bob, row)[1:]:
        assert browser.get(path).status_code == 403
    for name in ACTS:
        assert act(browser, bob, name).status_code == 403
    assert browser.post(reverse("admin:user_sessions_usersession_revoke", args=[row.pk])).status_code == 403
    row.refresh_from_db()
    assert row.is_active


def test_staff_who_may_only_look_see_no_button_and_no_timeline(staff, bob):
    browser = staff("view_user")
    start(bob)
    html = browser.get(page_of(bob)).content.decode()
    assert "formaction" not in html
    assert 'id="sessions"' not in html
    assert 'id="timeline"' not in html
    assert act(browser, bob, "disable").status_code == 403


def test_staff_cannot_make_themself_more_than_they_are(staff, alice):
    browser = staff("view_user", "change_user")
    data = form_of(browser, browser.who) | {"is_superuser": "on", "user_permissions": [1, 2, 3]}
    browser.post(page_of(browser.who), data)
    browser.who.refresh_from_db()
    assert not browser.who.is_superuser
    assert browser.who.user_permissions.count() == 2


@pytest.mark.parametrize("name", ACTS)
def test_staff_cannot_touch_a_superuser(staff, admin_person, name):
    browser, row = staff("view_user", "change_user", "change_usersession", "view_usersession"), None
    row = start(admin_person).user_session
    before = User.objects.values().get(pk=admin_person.pk)
    act(browser, admin_person, name)
    browser.post(reverse("admin:users_user_changelist"), {"action": name, "_selected_action": [admin_person.pk]})
    browser.post(page_of(admin_person), {"username": "admin", "email": "mine@example.com"})
    assert browser.post(reverse("admin:user_sessions_usersession_revoke", args=[row.pk])).status_code == 403
    assert User.objects.values().get(pk=admin_person.pk) == before
    row.refresh_from_db()
    assert row.is_active


@pytest.mark.parametrize("path", ["users_user_act", "user_sessions_usersession_revoke"])
def test_a_get_does_nothing(boss, bob, path):
    row = start(bob).user_session
    args = [bob.pk, "disable"] if path == "users_user_act" else [row.pk]
    page = boss.get(reverse(f"admin:{path}", args=args))
    for said in ("Ends 1 session.", "Closes 0 sockets."):
        assert said in page.content.decode()
    assert boss.put(reverse(f"admin:{path}", args=args)).status_code in {403, 405}
    bob.refresh_from_db()
    row.refresh_from_db()
    assert (bob.is_active, row.is_active) == (True, True)


def test_a_form_from_elsewhere_is_refused(admin_person, bob):
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(admin_person)
    assert browser.post(reverse("admin:users_user_act", args=[bob.pk, "disable"])).status_code == 403


# --- Signing in ---


def enter(browser, username, password, **more):
    return browser.post("/admin/login/?next=/admin/", {"username": username, "password": password, **more})


def test_a_stolen_cookie_does_not_move_its_owners_address(boss, admin_person):
    page = reverse("admin:users_user_change", args=[admin_person.pk])
    html = boss.get(page).content.decode()
    assert 'name="email"' not in html
    fields = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', html))
    before = admin_person.email
    boss.post(page, {**fields, "email": "thief@example.com", "email_verified": "on", "language": "en"})
    admin_person.refresh_from_db()
    assert admin_person.email == before


@pytest.fixture
def enrolled(admin_person):
    """The secret of the admin's authenticator app."""
    secret = pyotp.random_base32()
    sealed = sealing.seal(secret, context=f"totp:{admin_person.pk}")
    TotpFactor.objects.create(user=admin_person, secret=sealed, confirmed_at=timezone.now())
    return secret


def test_the_sign_in_asks_for_the_second_factor(enrolled):
    """Its cookie opens the whole API as well: a password alone must not."""
    browser = Browser()
    answer = enter(browser, "admin", PASSWORD)
    assert "Enter the code of your authenticator app as well." in answer.content.decode()
    assert browser.get("/admin/").status_code == 302
    assert browser.get("/api/users/me/").status_code == 401
    code = code_at(enrolled)
    assert enter(browser, "admin", PASSWORD, code=code).status_code == 302
    assert browser.get("/admin/").status_code == 200
    assert enter(Browser(), "admin", PASSWORD, code=code).status_code == 200, "a code counts once"


def test_a_recovery_code_opens_the_admin_once(enrolled, admin_person):
    code = recovery_codes.replace(admin_person.pk)[0]
    assert enter(Browser(), "admin", PASSWORD, code=code).status_code == 302
    assert enter(Browser(), "admin", PASSWORD, code=code).status_code == 200


def test_wrong_codes_lock_the_admin_although_each_comes_with_the_right_password(enrolled):
    for _ in range(5):
        assert "This code is not valid" in enter(Browser(), "admin", PASSWORD, code="000000").content.decode()
    answer = enter(Browser(), "admin", PASSWORD, code=code_at(enrolled))
    assert answer.status_code == 429


@pytest.mark.parametrize("username", ["admin", "nobody-has-this-name"])
def test_the_sign_in_is_locked_like_the_api_and_says_so(admin_person, username):
    browser = Browser()
    for _ in range(5):
        assert enter(browser, username, "wrong").status_code == 200
    answer = enter(browser, username, PASSWORD)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 1700
    assert "Too many failed attempts" in answer.content.decode()
    assert browser.get("/admin/").status_code == 302


def test_signing_in_is_in_the_timeline(admin_person):
    browser = Browser()
    assert enter(browser, "admin@example.com", PASSWORD).status_code == 302
    assert browser.get("/admin/").status_code == 200
    assert SecurityEvent.objects.get(kind="login").detail == {"by": "admin"}


def test_an_own_new_password_is_counted_told_and_ends_the_sessions(boss, admin_person, mails):
    row = start(admin_person).user_session
    new = {"new_password1": "another horse battery", "new_password2": "another horse battery"}
    assert boss.post("/admin/password_change/", {"old_password": "wrong", **new}).status_code == 200
    admin_person.refresh_from_db()
    assert admin_person.login_attempts == 1
    assert boss.post("/admin/password_change/", {"old_password": PASSWORD, **new}).status_code == 302
    admin_person.refresh_from_db()
    row.refresh_from_db()
    assert admin_person.check_password("another horse battery")
    assert not row.is_active
    assert (admin_person.pk, "password_changed") in mails
    assert boss.get("/admin/").status_code == 200  # this browser stays


def test_a_disabled_admin_is_out_with_the_next_click(boss, admin_person, person):
    person("second", is_superuser=True, is_staff=True)
    User.objects.filter(pk=admin_person.pk).update(is_active=False)
    assert boss.get("/admin/").status_code == 302


# --- What is shown ---


@pytest.mark.parametrize("language", ["en", "fr", "ar"])
def test_no_page_shows_a_digest_a_token_or_a_hash(boss, bob, admin_person, language):
    started = start(bob, device_fingerprint="fingerprint-of-bobs-phone")
    single_use.issue(PasswordResetToken, bob)
    lifecycle.revoke(user_id=bob.pk, sid=started.user_session.session_token, reason="revoked")
    start(bob, device_fingerprint="fingerprint-of-bobs-phone")
    row = UserSession.objects.latest("pk")
    secrets = [
        bob.password,
        bob.password.split("$")[-1],
        started.tokens.refresh,
        started.tokens.access,
        str(PasswordResetToken.objects.get().token),
        row.refresh_claims,
        "fingerprint-of-bobs-phone",
        row.current_jti if row.current_jti else "no jti",
    ]
    blacklisted = BlacklistedToken.objects.latest("pk")
    paths = [
        *everything(bob, row),
        reverse("admin:token_blacklist_blacklistedtoken_change", args=[blacklisted.pk]),
        reverse("admin:token_blacklist_outstandingtoken_change", args=[blacklisted.token_id]),
    ]
    for path in paths:
        answer = boss.get(path, headers={"accept-language": language})
        assert answer.status_code == 200, path
        html = answer.content.decode()
        if "token_blacklist" not in path:
            assert not [secret for secret in secrets if secret and secret in html], path
        assert 'dir="rtl"' in html if language == "ar" else 'dir="ltr"' in html


def test_every_page_runs_nothing_inline(boss, bob):
    for path in [*everything(bob, start(bob).user_session), "/admin/login/", "/admin/password_change/"]:
        answer = (Browser() if "login" in path else boss).get(path)
        assert "unsafe" not in answer["Content-Security-Policy"]
        html = answer.content.decode()
        assert not re.search(r"<style|\son(click|load|submit|change)=|javascript:", html), path
        assert not re.search(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", html), path


def test_history_cannot_be_changed_not_even_by_a_superuser(boss, bob):
    row = start(bob).user_session
    event = SecurityEvent.objects.create(user=bob, kind="login", at=timezone.now())
    for kind, pk in [("users_securityevent", event.pk), ("user_sessions_usersession", row.pk)]:
        assert boss.post(reverse(f"admin:{kind}_change", args=[pk]), {"kind": "x"}).status_code == 403
        assert boss.post(reverse(f"admin:{kind}_delete", args=[pk]), {"post": "yes"}).status_code == 403
        assert boss.get(reverse(f"admin:{kind}_add")).status_code == 403
    lifecycle.revoke(user_id=bob.pk, sid=row.session_token)
    token = BlacklistedToken.objects.latest("pk")
    for name in ("change", "delete"):
        path = reverse(f"admin:token_blacklist_blacklistedtoken_{name}", args=[token.pk])
        assert boss.post(path, {"post": "yes"}).status_code == 403
    assert boss.post(reverse("admin:users_user_delete", args=[bob.pk]), {"post": "yes"}).status_code == 403


def test_nobody_sets_another_persons_password(boss, bob):
    assert boss.get(f"/admin/users/user/{bob.pk}/password/").status_code in {302, 404}


def test_people_are_found_by_name_and_address(boss, alice, bob):
    for words in ("alic", "ALICE@example.com", "Ali"):
        html = boss.get(reverse("admin:users_user_changelist"), {"q": words}).content.decode()
        assert page_of(alice) in html
        assert page_of(bob) not in html


def test_a_persons_page_shows_sessions_with_place_and_device(boss, bob):
    start(bob, device_name="Bob's phone")
    SecurityEvent.objects.create(user=bob, kind="lockout", at=timezone.now())
    html = boss.get(page_of(bob), headers={"accept-language": "en"}).content.decode()
    assert "Bob&#x27;s phone" in html
    assert "Algeria" in html
    assert "sign-in paused" in html


# --- What it does ---


def test_disabling_ends_everything_at_once(boss, bob, sign_in, django_capture_on_commit_callbacks):
    client, suspended = sign_in(bob), []

    def hear(user_id, **kwargs):
        suspended.append(user_id)

    user_suspended.connect(hear)
    single_use.issue(PasswordResetToken, bob)
    with django_capture_on_commit_callbacks(execute=True):
        act(boss, bob, "disable")
    user_suspended.disconnect(hear)
    answer = client.get("/api/users/me/")
    assert answer.status_code == 401
    assert answer.json()["reason"] == "user_inactive"
    assert suspended == [bob.pk]
    assert not UserSession.objects.filter(user=bob, is_active=True).exists()
    assert not PasswordResetToken.objects.filter(user=bob, is_used=False).exists()
    act(boss, bob, "enable")
    assert client.get("/api/users/me/").status_code == 401  # what was revoked stays revoked


def test_unticking_active_in_the_form_is_the_same(boss, bob, sign_in, django_capture_on_commit_callbacks):
    client = sign_in(bob)
    with django_capture_on_commit_callbacks(execute=True):
        assert boss.post(page_of(bob), form_of(boss, bob, is_active=False)).status_code == 302
    bob.refresh_from_db()
    assert not bob.is_active
    assert client.get("/api/users/me/").status_code == 401
    assert not UserSession.objects.filter(user=bob, is_active=True).exists()


def test_unlocking_lets_the_person_in(boss, bob, api):
    for _ in range(6):
        locked = api.post("/api/auth/login/", {"username": "bob", "password": "wrong"})
    assert locked.status_code == 429
    act(boss, bob, "unlock")
    assert api.post("/api/auth/login/", {"username": "bob", "password": PASSWORD}).status_code == 200


def test_an_address_is_marked_verified(boss, person):
    dora, nomail = person("dora", email_verified=False), person("nomail", email="", email_verified=False)
    act(boss, dora, "verify_email")
    refused = act(boss, nomail, "verify_email").content.decode()
    assert User.objects.get(pk=dora.pk).email_verified
    assert not User.objects.get(pk=nomail.pk).email_verified
    assert "no e-mail address" in refused


def test_a_forced_reset_voids_the_password_signs_out_and_mails(boss, bob, sign_in, api, mails):
    client = sign_in(bob)
    act(boss, bob, "force_reset")
    assert client.get("/api/users/me/").status_code == 401
    assert api.post("/api/auth/login/", {"username": "bob", "password": PASSWORD}).status_code == 401
    assert (bob.pk, "password_reset") in mails


def test_a_person_without_an_address_is_not_shut_out_by_a_forced_reset(boss, person):
    nomail = person("nomail", email="")
    act(boss, nomail, "force_reset")
    assert User.objects.get(pk=nomail.pk).has_usable_password()


def test_one_session_or_all_are_revoked(boss, bob, sign_in):
    one, two = sign_in(bob), sign_in(bob)
    row = UserSession.objects.filter(user=bob).order_by("pk")[0]
    answer = boss.post(reverse("admin:user_sessions_usersession_revoke", args=[row.pk]) + f"?person={bob.pk}")
    assert answer["Location"] == page_of(bob)
    assert one.get("/api/users/me/").json()["reason"] == "session_revoked"
    assert two.get("/api/users/me/").status_code == 200
    version = bob.device_token_version
    act(boss, bob, "sign_out")
    assert two.get("/api/users/me/").status_code == 401
    assert User.objects.get(pk=bob.pk).device_token_version == version + 1


@pytest.mark.parametrize("back", ["https://evil.example", "//evil.example", "1", "²"])
def test_revoking_leads_back_to_no_other_place(boss, bob, back):
    row = start(bob).user_session
    answer = boss.post(reverse("admin:user_sessions_usersession_revoke", args=[row.pk]) + f"?person={back}")
    assert answer["Location"] == reverse("admin:user_sessions_usersession_change", args=[row.pk])


def test_several_people_at_once(boss, alice, bob):
    data = {"action": "disable", "_selected_action": [alice.pk, bob.pk]}
    start(alice), start(alice), start(bob)
    asked = boss.post(reverse("admin:users_user_changelist"), data).content.decode()
    assert "Ends 3 sessions." in asked
    assert User.objects.filter(pk__in=[alice.pk, bob.pk], is_active=True).count() == 2
    data["confirmed"] = "yes"
    assert b"Done for 2 people" in boss.post(reverse("admin:users_user_changelist"), data, follow=True).content
    assert not User.objects.filter(pk__in=[alice.pk, bob.pk], is_active=True).exists()


def test_every_act_is_audited(boss, admin_person, bob):
    with structlog.testing.capture_logs() as lines:
        act(boss, bob, "sign_out")
        boss.post(page_of(bob), form_of(boss, bob, first_name="Robert"))
    told = {line["event"]: line for line in lines if line["event"].startswith("admin.")}
    assert told["admin.sign_out"]["actor_id"] == admin_person.pk
    assert told["admin.sign_out"]["object_id"] == str(bob.pk)
    assert "Robert" not in str(told["admin.change"])
    assert LogEntry.objects.filter(user=admin_person, object_id=str(bob.pk)).count() == 2
    assert b"Revoke all sessions" in boss.get(reverse("admin:admin_logentry_changelist")).content


def test_the_last_superuser_cannot_be_shut_out(boss, admin_person, person):
    act(boss, admin_person, "disable")
    for change in ({"is_active": False}, {"is_superuser": False}, {"is_staff": False}):
        answer = boss.post(page_of(admin_person), form_of(boss, admin_person, **change))
        assert "This is the last superuser" in answer.content.decode()
    admin_person.refresh_from_db()
    assert admin_person.is_active
    assert admin_person.is_superuser
    second = person("second", is_superuser=True, is_staff=True)
    act(boss, second, "disable")
    second.refresh_from_db()
    assert not second.is_active


def test_admins_do_not_disable_themselves_by_accident(boss, admin_person, person):
    person("second", is_superuser=True, is_staff=True)
    act(boss, admin_person, "disable")
    admin_person.refresh_from_db()
    assert admin_person.is_active


def test_a_new_address_is_unverified_and_both_are_told(boss, bob, mails):
    boss.post(page_of(bob), form_of(boss, bob, email="robert@example.org"))
    bob.refresh_from_db()
    assert bob.email == "robert@example.org"
    assert not bob.email_verified
    assert {name for _, name in mails} == {"email_change_old_address", "verify_email"}
    assert SecurityEvent.objects.get(kind="email_changed").detail == {"by": "admin"}


# --- Making people ---


def make(browser, **fields):
    data = {"username": "dora", "email": "", "language": "fr", "usable_password": "true"}
    data |= {"password1": "correct horse battery", "password2": "correct horse battery"} | fields
    return browser.post(reverse("admin:users_user_add"), data)


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "a1ice"},  # looks like alice
        {"username": "ALICE"},
        {"username": "al\u200bice"},
        {"username": "dora@example.com"},
        {"username": "doга"},  # a Cyrillic letter
        {"email": "ALICE@example.com"},
        {"email": "no address"},
        {"email": "dora@example.com\nBcc: eve@example.com"},
        {"password1": "password", "password2": "password"},
        {"password1": "correct horse battery", "password2": "another"},
        {"usable_password": "false", "email": ""},
    ],
)
def test_the_rules_of_registration_hold_here_too(boss, alice, admin_person, fields):
    answer = make(boss, **fields)
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert User.objects.count() == 2


def test_a_person_is_made_with_or_without_an_address(boss, mails, api):
    assert make(boss).status_code == 302
    assert make(boss, username="emil").status_code == 302  # two without an address
    assert make(boss, username="fatima", email="fatima@example.com").status_code == 302
    no_password = {"usable_password": "false", "password1": "", "password2": ""}
    assert make(boss, username="ghita", email="ghita@example.com", **no_password).status_code == 302
    people = {user.username: user.pk for user in User.objects.all()}
    assert mails == [(people["fatima"], "verify_email"), (people["ghita"], "password_reset")]
    login = {"username": "dora", "password": "correct horse battery"}
    assert api.post("/api/auth/login/", login).status_code == 200


def test_renaming_keeps_names_apart(boss, alice, bob):
    answer = boss.post(page_of(bob), form_of(boss, bob, username="alice"))
    assert answer.status_code == 200
    bob.refresh_from_db()
    assert bob.username == "bob"


def test_a_closed_account_is_not_opened_again(boss, bob):
    User.objects.filter(pk=bob.pk).update(is_active=False, closed_at=timezone.now())
    act(boss, bob, "enable")
    bob.refresh_from_db()
    assert not bob.is_active


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("way", ["own", "group"])
def test_nobody_changes_an_account_that_holds_more_rights(staff, person, way, active):
    browser = staff("view_user", "change_user", "view_usersession", "change_usersession")
    other = person("other", is_staff=True)
    more = Permission.objects.get(codename="view_securityevent")
    if way == "own":
        other.user_permissions.add(more)
    else:
        group = Group.objects.create(name="auditors")
        group.permissions.add(more)
        other.groups.add(group)
    User.objects.filter(pk=other.pk).update(is_active=active)
    form = {"username": "other", "email": "mine@example.org", "language": "en", "timezone": "UTC"}
    assert browser.post(page_of(other), form).status_code == 403
    assert User.objects.get(pk=other.pk).email == "other@example.com"
    for name in ACTS:
        act(browser, other, name)
    assert User.objects.get(pk=other.pk).is_active is active
    assert User.objects.get(pk=other.pk).has_usable_password()


def test_an_account_with_no_more_rights_may_be_changed(staff, person):
    browser = staff("view_user", "change_user")
    other = person("other", is_staff=True)
    other.user_permissions.add(Permission.objects.get(codename="view_user"))
    act(browser, other, "disable")
    assert not User.objects.get(pk=other.pk).is_active


def test_groups_are_the_superusers(staff, boss):
    group = Group.objects.create(name="auditors")
    url = reverse("admin:auth_group_change", args=[group.pk])
    browser = staff("view_group", "change_group", "add_group")
    assert browser.post(url, {"name": "mine"}).status_code == 403
    assert browser.post(reverse("admin:auth_group_add"), {"name": "new"}).status_code == 403
    assert boss.post(url, {"name": "readers"}).status_code == 302


def test_revoking_several_sessions_says_first_what_ends(boss, alice, sign_in):
    sign_in(alice), sign_in(alice), sign_in(alice)
    rows = list(UserSession.objects.filter(user=alice).order_by("pk"))
    lifecycle.revoke(user_id=alice.pk, sid=rows[0].session_token, reason="logout")
    path = "/admin/user_sessions/usersession/"
    chosen = {"action": "revoke", "_selected_action": [row.pk for row in rows]}
    page = boss.post(path, chosen).content.decode()
    assert "Ends 2 sessions." in page  # the third has ended
    assert "Closes 0 sockets." in page
    assert UserSession.objects.filter(user=alice, is_active=True).count() == 2
    assert boss.post(path, {**chosen, "confirmed": "yes"}).status_code == 302
    assert not UserSession.objects.filter(user=alice, is_active=True).exists()
