"""An existing project moves in: nobody has to reset, nobody is overwritten."""

import io
import json

import pytest
import time_machine
from django.contrib.auth.hashers import make_password
from django.core.management import CommandError, call_command

from users.models import User

pytestmark = pytest.mark.django_db


def run(path, *options):
    out, err = io.StringIO(), io.StringIO()
    call_command("import_people", str(path), *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def csv_file(tmp_path):
    encoded = make_password("old password 1", hasher="pbkdf2_sha256")
    path = tmp_path / "people.csv"
    path.write_text(
        "\ufeffid,username,email,password,first_name,is_active,date_joined,locale,unknown\n"
        f"1,dora,Dora@BÜCHER.example,{encoded},Dora,t,2020-01-02 03:04:05+00:00,fr_FR,x\n"
        f"2,dora@old.example,,{encoded},,True,2020-01-02,pt-BR,\n"
        f"3,DORA,other@example.org,{encoded},,1,,,\n"
        f"4,eve,dora@bücher.example,{encoded},,1,,,\n"
        f"5,alice,new@example.org,{encoded},,1,,,\n"
        f"6,frank,alice@example.com,{encoded},,1,,,\n"
        f"7,gina,not an address,{encoded},,1,,,\n"
        "8,hana,hana@example.org,md4$x$y,,0,1577934245,,\n"
        f"9,ivan,ivan@example.org,{encoded},,maybe,,,\n",
        encoding="utf-8",
    )
    return path


def test_a_dry_run_reports_all_and_writes_nothing(alice, csv_file):
    out, err = run(csv_file, "--dry-run")
    assert User.objects.count() == 1
    assert "3 of 9 rows would be imported, 6 left out, 1 without a password" in out
    assert "100 % of 9 rows" in err
    for line in ("row 3: left out: username clashes with row 1", "row 4: left out: email clashes with row 1",
                 "row 5: left out: username clashes with alice", "row 6: left out: email belongs to alice",
                 "row 7: left out: email is not one", "row 8: password hash is of no kind",
                 "row 9: left out: neither true nor false"):  # fmt: skip
        assert line in out


def test_old_hashes_sign_in_and_nobody_is_overwritten(api, alice, csv_file):
    before = User.objects.values().get(pk=alice.pk)
    run(csv_file)
    run(csv_file)  # once more changes nothing
    assert User.objects.count() == 4
    assert User.objects.values().get(pk=alice.pk) == before
    for name in ("dora", "dora@bücher.example", "dora@old.example"):
        answer = api.post("/api/auth/login/", {"username": name, "password": "old password 1"})
        assert answer.status_code == 200, name
    dora = User.objects.get(username="dora")
    assert (dora.email, dora.language, dora.date_joined.year) == ("Dora@xn--bcher-kva.example", "fr", 2020)
    assert not User.objects.get(username="hana").is_active


def test_strict_imports_all_or_nothing(alice, csv_file):
    with pytest.raises(CommandError, match="6 of 9 rows"):
        run(csv_file, "--strict")
    assert User.objects.count() == 1


def test_json_lines_of_firebase_and_auth0(api, tmp_path):
    import bcrypt

    raw = bcrypt.hashpw(b"old password 1", bcrypt.gensalt(4)).decode()
    rows = [
        {"email": "a@example.org", "emailVerified": True, "passwordHash": raw, "displayName": "ann"},
        {"email": "b@example.org", "createdAt": "1577934245000", "nickname": "ben"},
        {"email": "c@example.org", "given_name": "Cleo"},
    ]  # fmt: skip
    rows[1]["password_hash"] = raw.replace("$2b$", "$2y$")
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), "", "[]", "{"]))
    out, _err = run(path)
    assert "3 of 5 rows imported, 2 left out, 1 without" in out
    assert User.objects.get(username="ann").email_verified
    assert User.objects.get(username="c").first_name == "Cleo"
    for name in ("ann", "b@example.org"):
        assert api.post("/api/auth/login/", {"username": name, "password": "old password 1"}).status_code == 200


def test_what_is_no_file_or_no_text_is_one_line(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"username\n\xff\xfe\n")
    for path in (tmp_path / "none.csv", tmp_path / "x.csv"):
        with pytest.raises(CommandError):
            run(path)


def test_refresh_tokens_of_the_old_project_are_a_clean_login(api, alice):
    from rest_framework_simplejwt.tokens import RefreshToken

    with time_machine.travel(1_795_000_000, tick=False):
        answer = api.post("/api/auth/token/refresh/", {"refresh": str(RefreshToken.for_user(alice))})
    assert (answer.status_code, answer.data["code"], answer.data["action"]) == (401, "token_not_valid", "login")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"username": "a\\ud800b"}', "half a character"),
        ('{"username": "ab", "first_name": "\\udc00"}', "half a character"),
        ('{"username": "ab", "date_joined": "0001-01-01T00:00:00+14:00"}', "not a time"),
        ('{"username": "ab", "last_login": "9999-12-31T23:59:59-12:00"}', "not a time"),
    ],
    ids=["name", "first-name", "year-1", "year-9999"],
)
def test_a_row_that_no_database_takes_leaves_the_others_in(tmp_path, row, said):
    path = tmp_path / "people.jsonl"
    path.write_text(row + '\n{"username": "good"}\n')
    assert said in run(path)[0]
    assert [user.username for user in User.objects.all()] == ["good"]


def test_a_hash_that_the_column_cannot_hold_needs_a_reset(tmp_path):
    path = tmp_path / "people.jsonl"
    long = f"$argon2id$v=19$m=65536,t=3,p=4${'a' * 22}${'b' * 86}"
    path.write_text(json.dumps({"username": "good", "password": long}))
    assert "a reset is needed" in run(path)[0]
    assert not User.objects.get().has_usable_password()


@pytest.mark.parametrize(
    "text",
    ["\n Username ; E-MAIL;Email\ngood;;g@example.org\n", "USERNAME\temail\ngood\tg@example.org\n",
     "username,email\n\"" + "x" * 200_000 + "\",\ngood,g@example.org\n"],
    ids=["semicolons", "tabs", "a-field-beyond-the-limit"],
)  # fmt: skip
def test_csv_as_spreadsheets_write_it(tmp_path, text):
    path = tmp_path / "people.csv"
    path.write_text(text)
    run(path)
    assert User.objects.values_list("username", "email").get() == ("good", "g@example.org")


def test_a_quote_that_is_not_closed_costs_its_row_alone(tmp_path):
    path = tmp_path / "people.csv"
    rows = [
        'ann,ann@example.org,"',
        '"ben,ben@example.org,',
        'cleo,"cleo@example.org","two',
        'lines"',
        "",
        "dan,,Dan,x",
    ]
    path.write_text("\n".join(["username,email,first_name", *rows, 'eve,"eve@example.org",']))
    out = run(path)[0]
    assert "3 left out" in out
    assert "row 1: left out: is not CSV" in out
    assert "row 4: left out: has more values" in out
    assert list(User.objects.order_by("id").values_list("username", "first_name")) == [
        ("cleo", "two\nlines"),
        ("eve", ""),
    ]
