"""What could be guessed is no key, and what holds secrets is nobody else's."""

import secrets
import sqlite3
import stat

import pytest

from common.secrecy import is_guessable
from config import settings as ours


@pytest.mark.parametrize(
    "weak",
    ["", "a" * 32, "abcdefgh" * 4, "abcdefghijklmnopqrstuvwxyz012345", "0123456789abcdef" * 2, "password" * 5,
     "a" * 40 + "bcdefgh"],
)  # fmt: skip
def test_a_repetition_or_a_run_is_no_key(weak):
    assert is_guessable(weak)


def test_what_a_random_source_makes_is_one():
    assert not any(is_guessable(make(16)) for make in (secrets.token_hex,) for _ in range(200))
    assert not any(is_guessable(secrets.token_urlsafe(32)) for _ in range(200))


def test_the_database_file_is_nobody_elses_from_the_start(tmp_path):
    path = tmp_path / "sub" / "db.sqlite3"
    ours.own_file(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
        assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}


def test_an_older_database_file_is_closed_to_others(tmp_path):
    path = tmp_path / "db.sqlite3"
    path.write_bytes(b"")
    path.chmod(0o644)
    ours.own_file(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
