"""The topology of production on this machine: nginx with TLS (the sample of `deploy/`), `make serve` with two server
processes and a task worker, PostgreSQL and Valkey. `make stack` starts it to be looked at; tests use `stack()`.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests import live, servers
from tests.servers import NotAvailable, free_port

ROOT = Path(__file__).resolve().parent.parent
WRAPPING = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log warn;
worker_processes 1;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/alviar.conf;
}}
"""


@dataclass
class Stack:
    """`authority` is the certificate that vouches for `url`, `environment` is for commands on this installation."""

    url: str
    plain_url: str
    folder: Path
    authority: Path
    environment: dict[str, str]
    serve: subprocess.Popen[bytes]
    nginx: subprocess.Popen[bytes]

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority))

    def run(self, *command: str, text: str = "") -> str:
        """Run `python COMMAND…` on this installation and return what it said; a failure is one."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        return (self.folder / name).read_text()


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost that signs itself, and its key."""
    if not shutil.which("openssl"):
        raise NotAvailable("no openssl")
    cert, key = folder / "cert.pem", folder / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "30"]
    subprocess.run([*request, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def nginx_configuration(folder: Path, *, upstream: int, plain: int, tls: int) -> Path:
    """Write the sample of `deploy/` with this machine's ports, names and folders, and what includes it."""
    cert, key = certificate(folder)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("127.0.0.1:8000", f"127.0.0.1:{upstream}"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{tls} ssl"),
        ("https://$host$request_uri", f"https://$host:{tls}$request_uri"),
        ("Host              $host;", "Host              $http_host;"),
        ("server_name chat.example.com", "server_name localhost"),
        ("/etc/letsencrypt/live/chat.example.com/fullchain.pem", str(cert)),
        ("/etc/letsencrypt/live/chat.example.com/privkey.pem", str(key)),
        ("/var/log/nginx", str(folder)),
    ):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "alviar.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(WRAPPING.format(folder=folder, user=user))
    return folder / "nginx.conf"


def nginx_binary() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise NotAvailable("no nginx (Debian: apt-get install nginx-light)")
    return found


@contextmanager
def stack(**settings: str) -> Iterator[Stack]:
    """Start everything and yield it once it is ready through nginx. Raises NotAvailable."""
    nginx = nginx_binary()
    with ExitStack() as at_the_end:
        folder = Path(at_the_end.enter_context(tempfile.TemporaryDirectory(prefix="alviar-stack-")))
        port, plain, tls = free_port(), free_port(), free_port()
        environment = live.clean_environment() | {
            "ALVIAR_MODE": "production",
            "PORT": str(port),
            "WORKERS": "2",
            "METRICS_PORT": str(free_port()),
            "SECRET_KEY": os.urandom(32).hex(),
            "JWT_SIGNING_KEYS": f"stack:{os.urandom(32).hex()}",
            "ALLOWED_HOSTS": "localhost",
            "PUBLIC_URL": f"https://localhost:{tls}",
            "TRUSTED_PROXY_COUNT": "1",
            "DATABASE_URL": at_the_end.enter_context(servers.postgresql()),
            "REDIS_URL": at_the_end.enter_context(servers.valkey()),
            "MAIL_DIR": str(folder / "mail"),
            "MEDIA_ROOT": str(folder / "media"),
            "STATIC_ROOT": str(folder / "static"),
            "DRAIN_SECONDS": "10",
            **settings,
        }
        serve = live.launch("serve", environment, folder / "serve.log").process
        at_the_end.callback(live.end, serve)
        configuration = nginx_configuration(folder, upstream=port, plain=plain, tls=tls)
        with (folder / "nginx.log").open("wb") as log:
            front = subprocess.Popen(
                [nginx, "-p", str(folder), "-c", str(configuration)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        at_the_end.callback(live.end, front)
        made = Stack(
            f"https://localhost:{tls}",
            f"http://localhost:{plain}",
            folder,
            folder / "cert.pem",
            environment | {"SSL_CERT_FILE": str(folder / "cert.pem")},
            serve,
            front,
        )
        _wait(made)
        yield made


def _wait(made: Stack, seconds: float = live.START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and made.serve.poll() is None and made.nginx.poll() is None:
        ready = partial(urllib.request.urlopen, f"{made.url}/readyz", timeout=20, context=made.tls)
        with suppress(OSError), ready() as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"not ready:\n{made.log('serve.log')[-4000:]}\n{made.log('nginx.log')}")


def main() -> None:
    with stack() as made:
        made.run("manage.py", "first_admin", "admin", "admin@example.com", "--password-stdin", text="alviar-stack-7\n")
        print(f"{made.url}  (its certificate is {made.authority})")
        print(f"Sign in at {made.url}/admin/ as admin, password alviar-stack-7")
        print(f"Logs, mails and the nginx configuration: {made.folder}. Ctrl-C ends everything.")
        port = re.sub(r"\D", "", made.environment["METRICS_PORT"])
        print(f"Figures: http://127.0.0.1:{port}/metrics", flush=True)
        with suppress(KeyboardInterrupt):
            made.serve.wait()


if __name__ == "__main__":
    try:
        main()
    except NotAvailable as error:
        sys.exit(f"cannot start: {error}")
