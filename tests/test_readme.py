"""Every command of both READMEs, the tutorials and the page on deploying does what is printed there.

Only addresses that are examples are replaced.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
from django.conf import settings

from tests import live
from tests.servers import free_port

pytestmark = pytest.mark.live

READMES = ["README.md", "README.fr.md"]
# The packages are there already; and no test reaches outside.
PREAMBLE = 'set -euo pipefail; make() { command make -o .venv/.installed PYTHON=python3 "$@"; }\n'


def blocks(name, language):
    text = (settings.BASE_DIR / name).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def bash(script, **environment):
    return subprocess.Popen(
        ["bash", "-c", PREAMBLE + script],
        cwd=settings.BASE_DIR,
        env=live.clean_environment() | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(process, seconds=live.START_SECONDS):
    said = process.communicate(timeout=seconds)[0]
    return process.returncode, said


@contextmanager
def printed(script, port, log, **environment):
    """Run a block that ends in a server until that answers; end it afterwards."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            ["bash", "-c", PREAMBLE + script],
            cwd=settings.BASE_DIR,
            env=live.clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = live.Server(f"http://127.0.0.1:{port}", process, log)
    try:
        yield server.wait()
    finally:
        # bash, make and the server are one group: bash alone would leave the other two behind.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(live.START_SECONDS)
        _wait_until_gone(process.pid)


def _wait_until_gone(group, seconds=120):
    """Wait until no process of the group is left; whatever is by then is killed and a failure."""
    for _ in range(seconds * 10):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("a server outlived its end")


def test_both_languages_print_the_same_commands():
    def commands(name, language):
        return [re.sub(r"\s+(#|//) .*|content: \".*?\"", "", block) for block in blocks(name, language)]

    assert commands("README.md", "bash") == commands("README.fr.md", "bash")
    assert commands("README.md", "bash")


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("readme"), free_port()
    environment = {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
        "MAIL_DIR": str(folder / "mail"),
        "STATIC_ROOT": str(folder / "static"),
    }
    run = next(block for block in blocks("README.md", "bash") if block.startswith("make run"))
    with printed(run, port, folder / "log", **environment) as server:
        assert "Alviar serves on" in server.said()
        yield server


@pytest.mark.parametrize("readme", READMES)
def test_one_signs_in_and_looks_at_the_session_by_curl(embedded, tmp_path, readme):
    [block] = [block for block in blocks(readme, "bash") if block.startswith("curl")]
    block = block.replace("127.0.0.1:8000", f"127.0.0.1:{embedded.port}")
    code, said = finished(bash(f"cd {tmp_path}\n{block}"))
    assert code == 0, said
    login, sessions, conversations = _documents(said)
    assert login["user"]["username"] == "alice"
    assert sessions["results"][0]["is_current"] is True
    assert conversations["results"][0]["kind"] == "direct"


TUTORIALS = ["docs/tutorial/first-app.md", "docs/tutorial/premiere-application.md"]


@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_the_tutorial_says_something_to_bob(embedded, tmp_path, tutorial):
    run, *steps = blocks(tutorial, "bash")
    assert run == "make run\n"
    script = "".join(steps).replace("127.0.0.1:8000", f"127.0.0.1:{embedded.port}")
    code, said = finished(bash(f"cd {tmp_path}\n{script}"))
    assert code == 0, said
    login, me, sessions, message = _documents(said)
    assert login["session"]["device_name"] == "Tutorial"
    assert me["username"] == "alice"
    assert [one["device_name"] for one in sessions["results"] if one["is_current"]] == ["Tutorial"]
    assert message["content"] == "Hello from a terminal"


def test_both_tutorials_print_the_same_commands():
    for language in ("bash", "sh", "tsx"):
        first, second = (blocks(tutorial, language) for tutorial in TUTORIALS)
        assert first == second


def _documents(text):
    """Return the JSON documents that were printed one after another."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].strip()
    return found


def test_one_opens_the_socket_from_javascript(embedded, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    [block] = [block for block in blocks("docs/socket.md", "js") if block.startswith("const base")]
    block = block.replace("127.0.0.1:8000", f"127.0.0.1:{embedded.port}")
    # The console stays open for ever; a test ends with the event of its own message.
    block = block.replace(
        "console.log(event.seq, event.kind, event.data)", "{ console.log(event.kind); process.exit(0) }"
    )
    (tmp_path / "console.mjs").write_text(block)
    major = int(
        subprocess.run([node, "-p", "process.versions.node"], capture_output=True, text=True).stdout.split(".")[0]
    )
    flags = ["--experimental-websocket"] if major < 22 else []
    done = subprocess.run(
        [node, *flags, str(tmp_path / "console.mjs")],
        capture_output=True,
        text=True,
        timeout=live.START_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "message.created\n"), done.stderr


def test_production_starts_and_is_looked_after(tmp_path, postgres_url, valkey_url):
    start, care = blocks("docs/deploying.md", "bash")
    port = free_port()
    start = re.sub(r"postgres://\S+", postgres_url, start)
    start = re.sub(r"redis://\S+", valkey_url, start)
    start = start.replace("mail.example.com:587", f"127.0.0.1:{free_port()}")
    start = start.replace("PUBLIC_URL=https://chat.example.com", f"PUBLIC_URL=https://127.0.0.1:{free_port()}")
    environment = {"PORT": str(port), "STATIC_ROOT": str(tmp_path / "static"), "DRAIN_SECONDS": "2"}
    with printed(start, port, tmp_path / "log", **environment) as server:
        assert json.loads(server.get("/readyz")[1])["database"] == "ok", server.said()
        settings_of_start = start.replace("make serve\n", "")
        admin, doctor, reload = care.strip().splitlines()
        code, said = finished(bash(f"{settings_of_start}{admin}", **environment))
        assert code == 0, said
        assert "/reset-password/#token=" in said
        code, said = finished(bash(f"{settings_of_start}{doctor}", **environment))
        assert code == 1, "the addresses lead nowhere, which it says"
        assert "ok      database" in said
        assert "ERROR   mail" in said
        code, said = finished(bash(f"{settings_of_start}{reload}", **environment))
        assert code == 0, said
