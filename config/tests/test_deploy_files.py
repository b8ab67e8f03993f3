"""Every sample that somebody deploys with is read by the program that it is for, or parsed, and names true settings."""

import os
import re
import shlex
import shutil
import subprocess
from configparser import RawConfigParser

import pytest
import yaml
from django.conf import settings

import config
import config.settings as module
from config.management.commands import tasks_worker

ROOT = settings.BASE_DIR
DEPLOY = ROOT / "deploy"


def needs(program):
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        pytest.skip(f"needs {program}")
    return found


def are_settings(names):
    """Return those that Alviar would not read."""
    known = {*module.env.declared, "ALVIAR_MODE"}
    return {name for name in names if name.removesuffix("_FILE") not in known}


def test_compose_starts_all_parts_with_true_settings_and_publishes_only_the_proxy():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"app", "tasks", "db", "valkey", "caddy"}
    assert {name for name, service in services.items() if "ports" in service} == {"caddy"}
    for name in ("app", "tasks"):
        assert are_settings(services[name]["environment"]) == set()
        assert services[name]["cap_drop"] == ["ALL"]
    assert services["app"]["environment"]["SERVE_TASKS"] == "false"
    assert services["tasks"]["command"] == ["python", "manage.py", "tasks_worker"]
    assert tasks_worker.Command
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists()


def test_the_file_for_a_start_with_compose_may_be_copied_as_it_is():
    text = (ROOT / ".env.example").read_text()
    assert all(line.startswith("#") or not line for line in text.splitlines())


def test_the_image_copies_what_there_is_runs_as_nobody_and_has_a_health_check():
    text = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for source in line.split():
            assert (ROOT / source).exists(), source
    assert re.findall(r"^USER (\w+)$", text, re.M) == ["alviar"]
    assert "HEALTHCHECK" in text
    assert "--require-hashes" in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "whatever is not named stays out, secrets above all"
    copied = {source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M) for source in line.split()}
    assert {entry[1:] for entry in ignored if entry.startswith("!")} == copied


def test_scripts_are_shell():
    for script in ("entrypoint.sh", "slim.sh"):
        subprocess.run([needs("sh"), "-n", str(DEPLOY / script)], check=True)
    subprocess.run([needs("bash"), "-n", str(DEPLOY / "build-image.sh")], check=True)


def test_the_key_of_an_image_without_one_is_made_once(tmp_path):
    text = (DEPLOY / "entrypoint.sh").read_text().replace("/app/var", str(tmp_path))
    for _ in range(2):
        done = subprocess.run(
            ["sh", "-c", text, "sh", "sh", "-c", 'cat "$SECRET_KEY_FILE"'],
            env={"PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == (tmp_path / "secret_key").read_text()
        assert len(done.stdout.strip()) >= 48
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_kubernetes_objects_probe_drain_and_keep_one_alive():
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "alviar.yaml").read_text()))
    by_kind = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    assert are_settings(by_kind["ConfigMap", "alviar"]["data"]) == set()
    pod = by_kind["Deployment", "alviar"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    drain = int(by_kind["ConfigMap", "alviar"]["data"]["DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] >= 2 * drain + 5 + 5
    budget = by_kind["PodDisruptionBudget", "alviar"]["spec"]
    assert budget["selector"]["matchLabels"] == by_kind["Deployment", "alviar"]["spec"]["selector"]["matchLabels"]
    for kind, name in by_kind:
        if kind == "Deployment":
            images = [one["image"] for one in by_kind[kind, name]["spec"]["template"]["spec"]["containers"]]
            assert all(image.endswith(f":{config.VERSION}") for image in images)


def test_systemd_units_reload_by_the_signal_and_leave_time_to_drain():
    unit = RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(DEPLOY / "systemd" / "alviar.service")
    service = unit["Service"]
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["ExecStart"].endswith("python -m config.server serve")
    assert int(service["TimeoutStopSec"]) >= 2 * module.DRAIN_SECONDS + 5
    socket = RawConfigParser()
    socket.read(DEPLOY / "systemd" / "alviar.socket")
    assert socket["Socket"]["ListenStream"] == "127.0.0.1:8000"


def test_systemd_takes_its_units(tmp_path):
    program = needs("systemd-analyze")
    for name in ("alviar.service", "alviar.socket"):
        text = (DEPLOY / "systemd" / name).read_text()
        text = text.replace("/opt/alviar/.venv/bin/python", "/bin/sh").replace("/opt/alviar", "/tmp")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "alviar" in line]
    assert ours == []


def test_caddy_takes_its_file():
    done = subprocess.run(
        [needs("caddy"), "validate", "--adapter", "caddyfile", "--config", str(DEPLOY / "Caddyfile")],
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", "DOMAIN": "localhost"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_nginx_takes_its_file(tmp_path):
    from tests import stack
    from tests.servers import NotAvailable

    try:
        program = stack.nginx_binary()
        configuration = stack.nginx_configuration(tmp_path, upstream=8000, plain=8080, tls=8443)
    except NotAvailable as error:
        pytest.skip(f"needs {error}")
    done = subprocess.run(
        [program, "-t", "-p", str(tmp_path), "-c", str(configuration)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["nginx.conf", "Caddyfile"])
def test_no_proxy_writes_headers_or_queries_to_its_log(name):
    text = (DEPLOY / name).read_text()
    if name == "nginx.conf":
        logged = re.search(r"log_format alviar '(.*)';", text)[1]
        assert not re.search(r"\$(http_|request_uri|args|request )", logged + " ")
        assert "$request " not in logged
    else:
        assert "request>headers delete" in text
        assert 'request>uri regexp "\\?.*" ""' in text


def test_procfile_names_commands_that_there_are():
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    assert set(lines) == {"release", "web", "worker"}
    for command in lines.values():
        words = [word for word in shlex.split(command) if "=" not in word]
        assert words[0] == "python"
        assert (ROOT / words[1]).exists() or words[1:3] == ["-m", "config.server"]
    assert are_settings(word.split("=")[0] for word in shlex.split(lines["web"]) if "=" in word) == set()
