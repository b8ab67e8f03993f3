"""Names that look alike are one, names that do not are two, and every way to write a row keeps them so."""

import importlib
import io
import json

import pytest
from django.apps import apps
from django.core import serializers
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from users import people
from users.identity import addresses, names
from users.models import User

pytestmark = pytest.mark.django_db
URL, LOGIN = "/api/auth/register/", "/api/auth/login/"
PASSWORD = "alviar-demo"


def register(api, username):
    body = {"username": username, "password": "a good password 1", "password_confirm": "a good password 1"}
    return api.post(URL, body | {"email": f"p{User.objects.count()}@example.org"})


@pytest.mark.parametrize("pair", ["maria marla", "neil nell", "ella elia", "lan ian", "mail mall", "зайка заика"])
def test_two_different_letters_are_two_names(api, pair):
    for username in pair.split():
        assert register(api, username).status_code == 201
        assert people.find(username)[0].username == username


@pytest.mark.parametrize(
    "twin",
    ["ᴘayᴘal", "pạypạl", "páypál", "paypal.", "_paypal", "paypal--", "PAYPAL", "paypa1", "paypaI", "ƥaypal", "pɑypal",
     "Ｐａｙｐａｌ", "pаураl", "paỳpâł", "paypaʟ", "pay̷pal", "paypaǀ", "ƿayƿal", "paypaꞁ", "paypalˌ", "payʼpal",
     "paypaꝇ", "pay҃pal", "ꓑꓮꓬꓑꓮꓡ", "ᏢᎪᎽᏢᎪᏞ", "ꮲꭺꭹꮲꭺꮮ"],
)  # fmt: skip
def test_what_looks_the_same_is_taken(api, twin):
    assert register(api, "paypal").status_code == 201
    assert register(api, twin).status_code == 400


@pytest.mark.parametrize(
    ("one", "twin"),
    [
        ("oscar", "0scar"),
        ("a.b", "a..b"),
        ("Ian", "lan"),
        ("google", "gꝏgle"),
        ("bella", "beǁa"),
        ("ronald", "ꞃonalꝺ"),
        ("hoko", "ⲏⲟⲕⲟ"),
        ("жук", "ЖУК"),
        ("محمد", "مُحَمَّد"),
        ("محمد", "محـمد"),
        ("שלום", "שָׁלוֹם"),
    ],
)
def test_more_that_looks_the_same(api, one, twin):
    assert register(api, one).status_code == 201
    assert register(api, twin).data["errors"]["username"][0]["code"] == "unique"


@pytest.mark.parametrize(("one", "other"), [("احمد", "أحمد"), ("امال", "آمال"), ("ـ", "ــ")])
def test_hamza_and_madda_make_other_letters(api, one, other):
    assert register(api, one).status_code == 201
    assert register(api, other).status_code == 201


def test_names_of_before_the_rule_of_vowel_marks_get_their_keys(db):
    old = {"مُحَمَّد": "مُحَمَّد", "محمد": "محمد", "سَلمى": "سَلمى", "maria": "maria"}
    for name, key in old.items():
        pk = User.objects.create(username=f"p{len(key)}{User.objects.count()}").pk
        User.objects.filter(pk=pk).rewrite(username=name, username_key=key, username_looks=key)
    importlib.import_module("users.migrations.0009_vowel_marks").make_keys_anew(apps, None)
    keys = dict(User.objects.values_list("username", "username_key"))
    clashing = User.objects.get(username="مُحَمَّد")
    assert keys == {"مُحَمَّد": f"محمد#{clashing.pk}", "محمد": "محمد", "سَلمى": "سلمى", "maria": "maria"}
    assert all(people.find(name)[0].username == name for name in old)


def saved(**row):
    User(**row).save()


def bulk_created(**row):
    User.objects.bulk_create([User(**row)])


def deserialised(**row):
    for one in serializers.deserialize("json", json.dumps([{"model": "users.user", "fields": row}])):
        one.save()


@pytest.mark.parametrize("write", [saved, bulk_created, deserialised])
def test_people_come_in_with_the_same_keys(api, person, write):
    encoded = person("nobody").password
    for username, email in (("ﬁona", "Fiona@BÜCHER.example"), ("Zoé", "zoe@example.org")):
        write(username=username, email=email, password=encoded, first_name="Élodie")
    fiona = User.objects.get(username="fiona")
    assert (fiona.username_key, fiona.search_first_name) == ("fiona", "élodie")
    assert fiona.email == "Fiona@xn--bcher-kva.example"
    assert api.post(LOGIN, {"username": "FIONA", "password": PASSWORD}).status_code == 200
    assert api.post(LOGIN, {"username": "zoé", "password": PASSWORD}).status_code == 200
    with pytest.raises(IntegrityError), transaction.atomic():
        write(username="Fíona", email="other@example.org", password=encoded)


def test_update_and_bulk_update_keep_the_keys(alice, bob):
    User.objects.filter(pk=alice.pk).update(username="ﬁona", first_name="Zoé", email="x@BÜCHER.example")
    bob.username = "Ｂｏｂ２"
    User.objects.bulk_update([bob], ["username"])
    alice.refresh_from_db()
    bob.refresh_from_db()
    assert (alice.username, alice.username_key, alice.search_first_name) == ("fiona", "fiona", "zoé")
    assert (alice.email, bob.username, bob.username_key) == ("x@xn--bcher-kva.example", "Bob2", "bob2")


def superuser(username, email):
    call_command("createsuperuser", interactive=False, username=username, email=email, stdout=io.StringIO())


def test_createsuperuser_says_what_is_taken(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    superuser("root", "Root@BÜCHER.example")
    assert User.objects.get().email == "Root@xn--bcher-kva.example"
    for username, email in (("ROOT", "other@example.org"), ("admin", "root@bücher.example")):
        with pytest.raises(CommandError):
            superuser(username, email)
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("x@faß.de", "x@xn--fa-hia.de"), ("x@FASS.de", "x@fass.de"), ("x@XN--FA-HIA.DE", "x@xn--fa-hia.de"),
     ("x@βόλος.com", "x@xn--nxasmm1c.com"), ("x@ab--cd.com", "x@ab--cd.com"), ("x@ex。ample.com", "x@ex.ample.com")],
)  # fmt: skip
def test_domains_are_those_of_idna_2008(typed, stored):
    assert addresses.normalise(typed) == stored


@pytest.mark.parametrize("typed", ["x@xn--zz.de", "x@☃.net", "x@a..b", "x@-a.de", "x@ex\u200dample.com", "ß@x.de"])
def test_impossible_domains_are_nobodys(typed):
    assert addresses.key(typed) == ""


def test_an_imported_name_with_an_at_signs_in_where_it_is_nobodys_address(api, person):
    dora = person("dora", email="dora@new.example")
    User.objects.filter(pk=dora.pk).update(username="dora@old.example")
    assert api.post(LOGIN, {"username": "Dora@old.example", "password": PASSWORD}).data["user"]["id"] == dora.pk
    other = person("other", email="dora@old.example", password="another password 1")
    assert people.find("dora@old.example")[0] == other
    assert api.post(LOGIN, {"username": "dora@old.example", "password": PASSWORD}).status_code == 401


def test_old_names_that_clash_by_a_newer_rule_keep_their_accounts(person):
    """The migration gives the older one the plain key; both sign in by their own spelling, and may be saved."""
    one, two = person("paypal"), person("dora")
    User.objects.filter(pk=two.pk).rewrite(username="páypál", username_key="old", username_looks=None)
    importlib.import_module("users.migrations.0004_names").make_keys(apps, None)
    assert people.find("paypal")[0] == one
    assert people.find("PAYPAL")[0] == one
    assert people.find("páypál")[0] == two
    two = User.objects.get(pk=two.pk)
    two.save()
    assert names.skeleton("páypál") == one.username_key


def test_createsuperuser_tells_of_a_look_alike(db):
    User.objects.create_user("paypal")
    with pytest.raises(CommandError, match="already exists"):
        call_command("createsuperuser", "--noinput", username="paypaI", email="other@example.org")


@pytest.mark.parametrize("stop", ["\u3002", "\uff0e", "\uff61"], ids=ascii)
@pytest.mark.parametrize("path", ["password-reset", "resend-verification", "email-code"])
def test_any_full_stop_parts_a_domain(api, db, path, stop):
    assert api.post(f"/api/auth/{path}/", {"email": f"x@faß{stop}de"}).status_code == 200
