"""What people read stands in English, French and Arabic, and comes out in the language they ask for."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from conftest import PASSWORD

APPS = ["common", "sessions", "users", "chat"]
ROOT = Path(settings.BASE_DIR)
CALLS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"}
IN_TEMPLATE = re.compile(r"""\{%\s*translate\s+(?:"([^"]+)"|'([^']+)')""")


def sources(app: str) -> Iterator[tuple[str, str]]:
    """Yield (where, text) for every literal that the app hands to gettext."""
    for path in sorted((ROOT / app).rglob("*.py")):
        if {"tests", "migrations"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS
            if named and node.args and isinstance(node.args[0], ast.Constant):
                yield path.name, node.args[0].value
    for path in sorted((ROOT / app).rglob("*.html")):
        for double, single in IN_TEMPLATE.findall(path.read_text()):
            yield path.name, double or single


def catalogue(app: str, language: str) -> gettext.GNUTranslations:
    with (ROOT / app / "locale" / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        return gettext.GNUTranslations(file)


@pytest.mark.parametrize("language", ["fr", "ar"])
@pytest.mark.parametrize("app", APPS)
def test_every_text_is_translated_and_compiled(app, language):
    known = catalogue(app, language)._catalog
    missing = {f"{where}: {text}" for where, text in sources(app) if not (known.get(text) or known.get((text, 0)))}
    assert not missing


@pytest.mark.parametrize("language", ["fr", "ar"])
@pytest.mark.parametrize("app", APPS)
def test_no_translation_is_a_guess_or_left_open(app, language):
    text = (ROOT / app / "locale" / language / "LC_MESSAGES" / "django.po").read_text()
    for entry in text.split("\n\n")[1:]:
        assert "#, fuzzy" not in entry
        assert not re.search(r'^msgstr(\[\d\])? ""$(?!\n")', entry, re.MULTILINE), entry


@pytest.mark.parametrize("language", ["fr", "ar"])
@pytest.mark.parametrize("app", APPS)
def test_placeholders_survive_translation(app, language):
    for msgid, msgstr in catalogue(app, language)._catalog.items():
        source = msgid[0] if isinstance(msgid, tuple) else msgid
        if source:
            assert set(re.findall(r"%\(\w+\)[sd]", msgstr)) == set(re.findall(r"%\(\w+\)[sd]", source)), source


@pytest.mark.parametrize(
    ("asked", "got", "language"),
    [
        ("fr-CA", "Aucun compte actif ne correspond à ces identifiants.", "fr"),
        ("ar", "لا يوجد حساب نشط بهذه البيانات.", "ar"),
        ("ar-DZ,fr;q=0.5", "لا يوجد حساب نشط بهذه البيانات.", "ar"),
        ("de", "No active account found with the given credentials.", "en"),
        ("*", "No active account found with the given credentials.", "en"),
        (None, "No active account found with the given credentials.", "en"),
        ("\x00;;q=x" * 100, "No active account found with the given credentials.", "en"),
    ],
)
def test_an_error_speaks_the_language_asked_for_and_its_code_never_changes(alice, api, asked, got, language):
    headers = {"accept-language": asked} if asked else {}
    answer = api.post("/api/auth/login/", {"username": "alice", "password": "wrong"}, headers=headers)
    assert answer.json()["detail"] == got
    assert answer.json()["code"] == "no_active_account"
    assert answer["Content-Language"] == language
    assert "accept-language" in answer["Vary"].lower()


@pytest.mark.parametrize(
    ("language", "required", "short", "taken"),
    [
        ("en", "This field is required.", "at least 8 characters", "A user with that username already exists."),
        ("fr", "Ce champ est obligatoire.", "au minimum 8 caractères", "Un utilisateur avec ce nom existe déjà."),
        ("ar", "هذا الحقل مطلوب.", "8 حروف على الأقل", "مستخدم"),
    ],
)
def test_the_frameworks_validators_speak_it_too(alice, api, language, required, short, taken):
    headers = {"accept-language": language}
    empty = api.post("/api/auth/register/", {}, headers=headers).json()
    assert empty["errors"]["username"][0] == {"message": required, "code": "required"}
    weak = {"username": "dora", "email": "dora@example.com", "password": "Zq3!x", "password_confirm": "Zq3!x"}
    errors = api.post("/api/auth/register/", weak, headers=headers).json()["errors"]
    assert short in errors["password"][0]["message"]
    same = weak | {"username": "alice", "password": PASSWORD * 2, "password_confirm": PASSWORD * 2}
    errors = api.post("/api/auth/register/", same, headers=headers).json()["errors"]
    assert taken in errors["username"][0]["message"]
    assert errors["username"][0]["code"] == "unique"


@pytest.mark.parametrize(("language", "got"), [("fr", "Introuvable."), ("ar", "غير موجود.")])
def test_what_is_outside_the_framework_speaks_it_too(client, language, got):
    answer = client.get("/api/nothing/here/", headers={"accept-language": language})
    assert answer.status_code == 404
    assert answer.json()["detail"] == got or language in answer["Content-Language"]
