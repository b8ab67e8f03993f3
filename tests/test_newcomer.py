"""Which commit `tests/newcomer.py` upgrades from; the round itself is a step of CI (`make newcomer`)."""

import os
import subprocess

import pytest

from tests import newcomer


@pytest.fixture
def history(tmp_path):
    """Return what commits a file and names the commit, in a repository of its own."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    clean |= {
        f"GIT_{who}_{what}": f"{who}@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    def git(*words):
        return subprocess.check_output(["git", *words], cwd=tmp_path, env=clean, text=True).strip()

    def commit(name):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        git("add", "-A")
        git("commit", "--quiet", "--message", name)
        return git("rev-parse", "HEAD")

    git("init", "--quiet", "--initial-branch", "main")
    commit.git, commit.root = git, tmp_path
    return commit


def test_the_commit_before_is_the_newest_with_other_migrations(history):
    history("chat/migrations/0001_initial.py")
    before = history("chat/models.py")
    history("chat/migrations/0002_more.py")
    history("chat/views.py")
    assert newcomer.previous(history.root) == before


def test_a_release_before_counts_more_than_a_commit(history):
    history("chat/migrations/0001_initial.py")
    released = history("chat/models.py")
    history.git("tag", "v0.1.0")
    history("chat/migrations/0002_more.py")
    history("chat/migrations/0003_still_more.py")
    history.git("tag", "v0.2.0")
    assert newcomer.previous(history.root) == released, "the tag of today's commit is no release before"


def test_without_a_history_there_is_nothing_to_upgrade_from(history, tmp_path):
    history("chat/migrations/0001_initial.py")
    assert newcomer.previous(history.root) is None
    elsewhere = tmp_path / "unpacked"
    elsewhere.mkdir()
    history.git("init", "--quiet", str(elsewhere))
    assert newcomer.previous(elsewhere) is None


def test_a_body_in_chunks_is_read_whole():
    assert newcomer._body(b'{"a": 1}') == b'{"a": 1}'
    assert newcomer._body(b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n') == b'{"a": 1}'
