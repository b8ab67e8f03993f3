"""Settings: documented one by one, and refused with names when they are bad."""

import os
import re
import runpy
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from unittest import mock

import pytest
from django.conf import settings

import config.settings as module
from config import checks, environment
from config.environment import SettingsRefused
from tests import live

GOOD_PRODUCTION = {
    "ALVIAR_MODE": "production",
    "SECRET_KEY": "k9v2Xr7mQ4wZ8nB3cF6hJ1pL5tY0sD2gU7aE9iO4Tq6Wm3Nz8Kx1",
    "ALLOWED_HOSTS": "chat.example.com",
    "PUBLIC_URL": "https://chat.example.com",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9/0",
    "EMAIL_URL": "smtp+tls://mail.example.com",
}


def clean(environment):
    return {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}} | environment


def python(*command, **environment):
    """Run `python …` in a clean environment; return its exit code and all it said."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=settings.BASE_DIR,
        env=clean(environment),
        capture_output=True,
        text=True,
        timeout=live.START_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def loaded(**environment):
    """Return what the settings are with these variables, read anew in this process. Raises SettingsRefused."""
    with mock.patch.dict(os.environ, clean(environment), clear=True):
        return SimpleNamespace(**runpy.run_path(module.__file__))


def start(**variables):
    """Return what every way to start makes of these variables: 0 or 1, and the lines that it prints."""
    try:
        found = checks._found(loaded(**variables))
    except SettingsRefused as refused:
        return 1, f"Alviar does not start with these settings:\n{refused}\n"
    return int(any(message.is_serious() for message in found)), "\n".join(map(checks.line, found))


def written(default):
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return ",".join(default)
    return str(default).replace(str(settings.BASE_DIR), "/path/to/alviar")


@pytest.mark.skipif(settings.PRODUCTION, reason="the file lists the embedded defaults")
def test_env_example_lists_every_setting_with_its_default():
    lines = re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", (settings.BASE_DIR / ".env.example").read_text(), re.M)
    assert len(lines) == len(dict(lines)), "no setting twice"
    declared = {name: written(default) for name, default in module.env.declared.items()}
    if "PORT" in os.environ or "HOST" in os.environ:
        declared["PUBLIC_URL"] = "http://127.0.0.1:8000"
    assert dict(lines) == declared


def test_one_error_names_every_bad_variable():
    bad = {
        "PORT": "abc",
        "WORKERS": "0",
        "HTTPS_ONLY": "perhaps",
        "REFRESH_REUSE_INTERVAL": "61",
        "ACCESS_TOKEN_LIFETIME": "x",
        "JWT_ALGORITHM": "none",
        "EMAIL_VERIFICATION": "maybe",
        "RATE_LOGIN": "many",
        "PUBLIC_URL": "ftp://x",
        "ALLOWED_ORIGINS": "app.example.com",
        "DATABASE_URL": "mysql://x",
        "REDIS_URL": "localhost",
        "EMAIL_URL": "foo://x",
        "LOG_LEVEL": "loud",
        "ALVIAR_MODE": "other",
        "LOCKOUT_ATTEMPTS": "-1",
        "TRUSTED_PROXY_COUNT": "-1",
        "PASSWORD_MIN_LENGTH": "x",
        "BODY_LIMIT_BYTES": "big",
        "PUBLIC_APP_URL": "javascript://alert(1)",
        "BRAND_COLOUR": "red",
        "BRAND_LOGO_URL": "http://example.com/logo.png",
    }
    code, said = python("manage.py", "check", **bad)
    assert code != 0
    assert [name for name in bad if not re.search(rf"^- {name}\b.*\.", said, re.M)] == []
    assert "Traceback" not in said
    assert "- PORT is 'abc', which is not a whole number from 1 to 65535. Unset it for 8000.\n" in said


def test_a_missing_key_hides_no_other_fault():
    code, said = start(**GOOD_PRODUCTION | {"SECRET_KEY": "", "DATABASE_URL": "", "ALLOWED_HOSTS": "*", "PORT": "abc"})
    assert code != 0
    for told in ("SECRET_KEY is missing. Make one:", "alviar.E001", "alviar.E012", "PORT is 'abc'"):
        assert told in said
    assert "E010" not in said, "said once"


def test_a_secret_is_never_printed():
    code, said = start(DATABASE_URL="mysql://me:s3cr3t@x/y", EMAIL_URL="foo://me:s3cr3t@x", REDIS_URL="me:s3cr3t@x")
    assert code != 0
    assert "EMAIL_URL" in said
    assert "s3cr3t" not in said


def test_a_setting_with_a_slip_of_the_pen_is_refused_and_others_variables_are_not():
    code, said = start(CHAT_SWEEP_SECOND="3", ALOWED_ORIGINS="https://x.example", RATE_LOGIM="1/min")
    assert code != 0
    assert "CHAT_SWEEP_SECOND is no setting. Did you mean CHAT_SWEEP_SECONDS?" in said
    assert "RATE_LOGIM" in said
    assert "ALOWED_ORIGINS" in said
    others = {"REDIS_PORT": "tcp://10.0.0.1:6379", "CHAT_SERVICE_HOST": "10.0.0.2", "EMAIL_HOST": "x", "TZ": "UTC"}
    assert start(**others)[0] == 0


def test_what_stands_in_the_file_and_is_no_setting_is_refused(tmp_path):
    from config.environment import Environment

    (tmp_path / ".env").write_text("PORT=8000\nCOLOUR=blue\nPORT_FILE=x\nPOSTGRES_PASSWORD=y\n")
    env = Environment(tmp_path / ".env")
    env.declared["PORT"] = 8000
    assert [fault for fault in env.faults() if ".env" in fault] == [
        "COLOUR in .env is no setting. Remove it; .env.example lists what there is."
    ]


@pytest.mark.parametrize(
    ("origins", "code"),
    [
        ("https://app.example.com,capacitor://localhost,ionic://localhost,http://[::1]:8100", 0),
        ("*", 1),
        ("https://*.x.app", 1),
        ("https://x.app/", 1),
        ("x.app", 1),
    ],
)
def test_origins_are_exact_and_may_be_those_of_web_views(origins, code):
    assert (start(ALLOWED_ORIGINS=origins)[0] != 0) == bool(code)


@pytest.mark.parametrize(
    ("hosts", "refused"),
    [
        ("chat.example.com, .example.org,127.0.0.1,[::1],localhost,xn--exmple-cua.de", False),
        ("*", False),
        ("https://chat.example.com", True),
        ("chat.example.com:443", True),
        ("chat.example.com/", True),
        ("*.example.com", True),
        ("exämple.de", True),
        ("chat.example.com b.example.com", True),
    ],
)
def test_a_host_that_no_request_could_match_is_refused(hosts, refused):
    with pytest.raises(environment.validate.ValidationError) if refused else nullcontext():
        for host in hosts.split(","):
            environment.allowed_host(host)


def test_a_start_with_such_a_host_is_refused():
    code, said = start(ALLOWED_HOSTS="https://chat.example.com")
    assert code != 0
    assert "ALLOWED_HOSTS: 'https://chat.example.com' is no host" in said


@pytest.mark.parametrize(
    ("url", "port", "starttls", "tls"),
    [
        ("smtp+tls://u%40x:p%2Fw@mail.example.com", 587, True, False),
        ("submission://u%40x:p%2Fw@mail.example.com:2587", 2587, True, False),
        ("smtps://u%40x:p%2Fw@mail.example.com", 465, False, True),
        ("smtp+ssl://u%40x:p%2Fw@mail.example.com:465", 465, False, True),
        ("smtp://u%40x:p%2Fw@mail.example.com", 25, False, False),
    ],
)
def test_the_scheme_of_the_mail_address_says_how_it_is_encrypted(url, port, starttls, tls):
    from config.environment import email_settings

    found = email_settings(url)
    assert (found["EMAIL_PORT"], found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (port, starttls, tls)
    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("u@x", "p/w")


def test_a_start_without_mail_says_so():
    silent = {name: value for name, value in GOOD_PRODUCTION.items() if name != "EMAIL_URL"}
    assert "alviar.W012" in start(**silent)[1]
    assert "alviar.W012" not in start(**silent, MAIL_DIR="/tmp/mails")[1]
    assert "alviar.W012" not in start(**GOOD_PRODUCTION)[1]


def test_a_limit_of_0_is_none():
    found = loaded(LOCKOUT_ATTEMPTS="0", CHAT_MESSAGES_PER_10S="0", CHAT_GROUP_MEMBERS="0")
    assert (found.LOCKOUT_ATTEMPTS, found.CHAT_MESSAGES_PER_10S, found.CHAT_GROUP_MEMBERS) == (0, 0, 0)


def test_the_launcher_says_so_without_a_traceback():
    code, said = python("-m", "config.server", "run", PORT="abc", DRAIN_SECONDS="never")
    assert code == 1
    assert "PORT" in said
    assert "DRAIN_SECONDS" in said
    assert "Traceback" not in said


def test_public_url_follows_host_and_port():
    assert loaded(PORT="8123").PUBLIC_URL == "http://localhost:8123"
    assert loaded(HOST="0.0.0.0", PORT="1").PUBLIC_URL == "http://127.0.0.1:1"
    assert loaded(HOST="::1").PUBLIC_URL == "http://localhost:8000"
    assert loaded(PUBLIC_URL="https://x.example/").PUBLIC_URL == "https://x.example"


@pytest.mark.parametrize(
    ("given", "origin"),
    [("https://Chat.Example.com:443/", "https://chat.example.com"), ("http://x.example:80", "http://x.example"),
     ("https://bücher.example", "https://xn--bcher-kva.example"), ("http://[::1]:8000", "http://[::1]:8000"),
     ("https://x.example:80", "https://x.example:80")],
    ids=["https", "http", "idn", "ipv6", "other-port"],
)  # fmt: skip
def test_addresses_are_compared_as_browsers_send_them(given, origin):
    got = loaded(PUBLIC_URL=given, ALLOWED_ORIGINS=given.rstrip("/"))
    assert vars(got)["PUBLIC_URL"] == origin
    assert vars(got)["ALLOWED_ORIGINS"] == [origin]
    assert origin in got.PASSKEY_ORIGINS
    assert origin in got.CSRF_TRUSTED_ORIGINS


def test_public_url_with_a_path_has_its_origin_and_a_warning():
    got = loaded(PUBLIC_URL="https://x.example/chat/")
    assert got.PUBLIC_URL == "https://x.example/chat"
    assert "https://x.example" in got.CSRF_TRUSTED_ORIGINS
    assert "https://x.example" in got.PASSKEY_ORIGINS
    assert "alviar.W013" in start(**GOOD_PRODUCTION | {"PUBLIC_URL": "https://chat.example.com/chat/"})[1]
    assert "alviar.W013" not in start(**GOOD_PRODUCTION)[1]


def test_safe_production_settings_pass_the_deployment_checks():
    signing = "2026:" + "a8Kd03jfLs92ndKq7Zx1Mv5Bt6Yh4Ru0Wp3Ec8Gi"
    code, said = python(
        "manage.py", "check", "--deploy", "--fail-level", "WARNING", **GOOD_PRODUCTION, JWT_SIGNING_KEYS=signing
    )
    assert code == 0, said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY"),
        ({"SECRET_KEY": "short"}, "alviar.E010"),
        ({"SECRET_KEY": "django-insecure-k9v2Xr7mQ4wZ8nB3cF6hJ1pL5tY0sD2gU7aE9iO4"}, "alviar.E010"),
        ({"SECRET_KEY": "a" * 50}, "alviar.E010"),
        ({"DEBUG": "true"}, "alviar.E011"),
        ({"ALLOWED_HOSTS": ""}, "alviar.E012"),
        ({"ALLOWED_HOSTS": "*"}, "alviar.E012"),
        ({"DATABASE_URL": "sqlite:////tmp/none.sqlite3"}, "alviar.E001"),
        ({"REDIS_URL": ""}, "alviar.E002"),
    ],
)
def test_unsafe_starts_are_refused(change, told):
    code, said = start(**GOOD_PRODUCTION | change)
    assert code != 0
    assert told in said


@pytest.mark.parametrize("way_in", [("manage.py", "check"), ("-c", "import config.asgi")])
def test_every_way_in_refuses(way_in):
    code, said = python(*way_in, **GOOD_PRODUCTION | {"DEBUG": "true"})
    assert code != 0
    assert "alviar.E011" in said


def test_one_worker_may_run_on_embedded_parts_in_production():
    change = {"WORKERS": "1", "REDIS_URL": "", "DATABASE_URL": "sqlite:////tmp/none.sqlite3"}
    code, said = start(**GOOD_PRODUCTION | change)
    assert code == 0, said


def test_a_session_may_end_by_its_absolute_lifetime_alone():
    code, said = start(SESSION_ABSOLUTE_LIFETIME="60", REMEMBER_ME_ABSOLUTE_LIFETIME="60")
    assert code == 0, said


def test_several_workers_on_memory_are_refused_in_embedded_mode_too():
    code, said = start(WORKERS="2")
    assert code != 0
    assert "alviar.E001" in said
    assert "alviar.E002" in said


def test_a_derived_token_key_is_warned_of():
    assert "alviar.W011" in start(**GOOD_PRODUCTION)[1]


def test_production_is_https_only():
    def facts(found):
        return [found.HTTPS_ONLY, found.SECURE_SSL_REDIRECT, found.SESSION_COOKIE_SECURE, found.CSRF_COOKIE_SECURE]

    assert facts(loaded(**GOOD_PRODUCTION)) == [True] * 4
    assert facts(loaded(**GOOD_PRODUCTION, HTTPS_ONLY="false")) == [False] * 4
    assert facts(loaded()) == [False] * 4


def test_hsts_is_for_those_who_ask_for_it():
    def facts(found):
        return found.SECURE_HSTS_SECONDS, found.SECURE_HSTS_INCLUDE_SUBDOMAINS, found.SECURE_HSTS_PRELOAD

    assert facts(loaded(**GOOD_PRODUCTION)) == (0, False, False)
    asked = {"HSTS_SECONDS": "31536000", "HSTS_SUBDOMAINS": "true", "HSTS_PRELOAD": "true"}
    assert facts(loaded(**GOOD_PRODUCTION, **asked)) == (31_536_000, True, True)


def test_a_proxys_word_on_the_scheme_counts_only_where_proxies_are_trusted():
    assert loaded().SECURE_PROXY_SSL_HEADER is None
    assert loaded(TRUSTED_PROXY_COUNT="1").SECURE_PROXY_SSL_HEADER == ("HTTP_X_FORWARDED_PROTO", "https")


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "key").write_text("from a file\n")
    assert loaded(METRICS_TOKEN_FILE=str(tmp_path / "key")).METRICS_TOKEN == "from a file"


def test_plain_http_is_redirected_but_for_health(client, db, settings):
    settings.SECURE_SSL_REDIRECT = True
    response = client.get("/api/users/me/")
    assert (response.status_code, response["Location"]) == (301, "https://testserver/api/users/me/")
    for path in ("/", "/api/docs/", "/static/app/app.js"):  # kept by no browser: it can be turned off again
        response = client.get(path)
        assert (response.status_code, response["Cache-Control"]) == (301, "no-store")
    assert client.get("/healthz").status_code == 200


def test_allowed_origins_may_send_and_read_what_the_contract_names(client, db, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]
    asked = {"HTTP_ORIGIN": "https://app.example.com", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}
    wanted = "authorization,content-type,accept-language,device-fingerprint,x-request-id"
    answer = client.options("/api/auth/login/", **asked, HTTP_ACCESS_CONTROL_REQUEST_HEADERS=wanted)
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert set(wanted.split(",")) <= set(answer["Access-Control-Allow-Headers"].replace(" ", "").split(","))
    seen = client.get("/api/users/me/", HTTP_ORIGIN="https://app.example.com")["Access-Control-Expose-Headers"]
    assert {"X-Refresh-Replayed", "Retry-After", "X-Request-ID"} <= set(seen.replace(" ", "").split(","))
    assert not client.get("/api/users/me/", HTTP_ORIGIN="https://evil.example").has_header(
        "Access-Control-Allow-Origin"
    )


def test_a_setting_whose_packages_are_not_installed_is_refused_with_what_to_install(monkeypatch):
    from environs import validate

    from config import environment

    environment.storage_url("s3://key:secret@host/bucket")
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    environment.storage_url("")
    with pytest.raises(validate.ValidationError, match=r"requirements-s3\.txt"):
        environment.storage_url("s3://key:secret@host/bucket")
