"""Every sample that somebody deploys with is read by the program that it is for, or parsed, and names true settings."""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
import yaml
from django.conf import settings

import config
import config.settings as module
from config import stores
from config.management.commands import tasks_worker
from tests import engines
from tests.servers import free_port

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


def compose_as_started():
    """Return compose.yaml with the variables filled in as Compose does."""
    text = (ROOT / "compose.yaml").read_text()
    return yaml.safe_load(re.sub(r"\$\{\w+(?::-([^}]*))?\}", lambda found: found[1] or "", text))


def test_compose_keeps_to_its_specification():
    import compose_spec

    compose = compose_as_started()
    assert sorted(compose_spec.PyCompose.from_json(json.dumps(compose)).service_names()) == sorted(compose["services"])
    for fault in ({"restart": "sometimes"}, {"healthchek": {}}, {"depends_on": {"db": {"condition": "fine"}}}):
        wrong = copy.deepcopy(compose)
        wrong["services"]["app"] |= fault
        with pytest.raises(ValueError, match=r"restart|unknown|start with"):
            compose_spec.PyCompose.from_json(json.dumps(wrong))


def test_what_env_may_hold_for_compose_is_no_fault_of_the_settings(tmp_path, monkeypatch):
    from config.environment import Environment

    names = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    assert names >= {"DOMAIN", "POSTGRES_PASSWORD", "ALVIAR_EXTRAS"}
    (tmp_path / ".env").write_text("".join(f"{name}=x\n" for name in names))
    for name in names:  # read_env puts them into the environment: that is undone
        monkeypatch.setenv(name, "x")
    assert Environment(tmp_path / ".env").faults() == []


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


def test_compose_with_nats_names_servers_that_are_there_and_start(tmp_path):
    import compose_spec

    added = yaml.safe_load((DEPLOY / "compose.nats.yaml").read_text())["services"]
    merged = compose_as_started()
    for name, service in added.items():
        there = merged["services"].setdefault(name, {})
        there |= {
            key: there.get(key, {}) | value if isinstance(value, dict) else value for key, value in service.items()
        }
    assert set(compose_spec.PyCompose.from_json(json.dumps(merged)).service_names()) == set(merged["services"])
    servers = {name for name in added if name.startswith("nats")}
    for name in ("app", "tasks"):
        service = merged["services"][name]
        assert are_settings(service["environment"]) == set()
        assert set(re.findall(r"nats://(\w+):4222", service["environment"]["WAKES_URL"])) == servers
        assert servers < set(service["depends_on"])
    stores.wakes_url(merged["services"]["app"]["environment"]["WAKES_URL"])
    for name in servers:
        program, *words = added[name]["command"]
        assert set(re.findall(r"nats://(nats\d):6222", words[-1])) == servers - {name}
    port, places = free_port(), f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    binary = shutil.which(program, path=places)
    if binary is None:
        pytest.skip("needs nats-server")
    words = [word.replace("0.0.0.0:6222", f"127.0.0.1:{free_port()}") for word in words]
    node = engines.Node(port, tmp_path, [binary, *words[:-2], "-a", "127.0.0.1", "-p", str(port)])
    try:
        node.start()
    finally:
        node.kill()


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
    copied = {source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M) for source in line.split()} - {
        "."
    }
    allowed = {entry[1:] for entry in ignored if entry.startswith("!")}
    assert copied <= allowed
    for entry in allowed - copied:  # what the site is made from, which stays in its stage
        assert entry.split("/")[0] not in {"var", ".env", "site", "tests"}
        assert (ROOT / entry).exists(), entry
    last = text.rpartition("FROM ${BASE}")[2]
    assert "COPY . " not in last
    assert "COPY --from=site /site site" in last


def test_scripts_are_shell():
    assert os.access(DEPLOY / "build-image.sh", os.X_OK)
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


def test_kubernetes_objects_keep_to_their_schemas():
    import kubernetes_validate

    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "alviar.yaml").read_text()))
    for one in objects:
        kubernetes_validate.validate(one, "1.33", strict=True)
    [deployment, *_] = [copy.deepcopy(one) for one in objects if one["kind"] == "Deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, "1.33", strict=True)


def test_the_secret_that_kubernetes_asks_for_holds_true_settings():
    text = (DEPLOY / "kubernetes" / "alviar.yaml").read_text()
    names = re.findall(r"--from-literal=(\w+)=", text)
    assert are_settings(names) == set()
    assert {"SECRET_KEY", "JWT_SIGNING_KEYS", "DATABASE_URL", "REDIS_URL", "STORAGE_URL"} <= set(names)


def test_kubernetes_ports_and_names_meet():
    objects = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "alviar.yaml").read_text()))
    by_kind = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    pod = by_kind["Deployment", "alviar"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000}
    assert re.search(r"PORT=8000\b", (ROOT / "Dockerfile").read_text())
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    service = by_kind["Service", "alviar"]["spec"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert {port["targetPort"] for port in service["ports"]} <= ports.keys()
    [rule] = by_kind["Ingress", "alviar"]["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "alviar", "port": {"name": service["ports"][0]["name"]}}
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert set(re.search(r"VOLUME (\[.*\])", (ROOT / "Dockerfile").read_text())[1][2:-2].split('", "')) <= set(
        mounted.values()
    )
    for kind, name in by_kind:
        for one in by_kind[kind, name]["spec"]["template"]["spec"]["containers"] if kind == "Deployment" else ():
            assert [*one["envFrom"][0].values(), *one["envFrom"][1].values()] == [{"name": "alviar"}] * 2


def test_an_image_takes_from_the_lock_what_its_extras_ask_for():
    import runpy

    pick = runpy.run_path(str(DEPLOY / "pick.py"))["pick"]
    lock = (ROOT / "requirements.lock").read_text()

    def names(*extras):
        return set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", pick(lock, set(extras)), re.M))

    plain, everything = names(), names("media", "s3", "telemetry", "nats")
    assert {"django", "uvicorn", "psycopg", "pillow", "urllib3"} - plain == {"urllib3"}
    assert not plain & {"av", "boto3", "botocore", "s3transfer", "django-storages", "sentry-sdk", "opentelemetry-sdk"}
    assert names("media") - plain == {"av"}
    assert {"boto3", "botocore", "s3transfer", "jmespath", "django-storages"} <= names("s3") - plain
    assert {"sentry-sdk", "opentelemetry-sdk"} <= names("telemetry") - plain
    assert names("nats") - plain == {"nats-py"}
    assert everything == set(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==", lock, re.M))
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\S)", pick(lock, set())))
    with pytest.raises(ValueError, match="no such extra: sound"):
        pick(lock, {"sound"})


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
    for name in ("alviar.service", "alviar.socket", "alviar-primary.service"):
        text = (DEPLOY / "systemd" / name).read_text()
        text = re.sub("/opt/alviar/.venv/bin/python|/usr/bin/python3", "/bin/sh", text).replace("/opt/alviar", "/tmp")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, tmp_path.iterdir())], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "alviar" in line]
    assert ours == []


def test_the_unit_of_the_primary_check_gives_what_it_needs_and_haproxy_asks_for_the_same_names():
    unit = RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(DEPLOY / "systemd" / "alviar-primary.service")
    command = unit["Service"]["ExecStart"].replace("\\\n", " ")
    named = dict(re.findall(r"(\w+)=postgresql://haproxy@([\d.]+)/postgres", command))
    lines = re.findall(r"^    server (\w+) ([\d.]+):5432$", (DEPLOY / "haproxy.cfg").read_text(), re.M)
    assert named == dict(lines)
    assert "--state /var/lib/alviar-primary/" in command
    assert unit["Service"]["StateDirectory"] == "alviar-primary"


def test_patroni_and_haproxy_name_the_same_port_and_hosts():
    sample = yaml.safe_load((DEPLOY / "patroni.yml").read_text())
    haproxy = (DEPLOY / "haproxy.cfg").read_text()
    assert f"server {sample['name']} {sample['postgresql']['listen']}" in haproxy
    assert f"check port {sample['restapi']['listen'].rpartition(':')[2]} inter" in haproxy
    assert sample["bootstrap"]["dcs"]["synchronous_mode"] is True


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
