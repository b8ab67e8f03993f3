"""Push services of our own on loopback: a browser's that decrypts and checks, FCM's, Apple's and Expo's stand-ins.

Written from the RFCs and the vendors' pages, with none of the product's code.
"""

import base64
import ipaddress
import json
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import http_ece
import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Asked:
    """One request that a service took."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Reply = tuple[int, dict[str, str], bytes]


def arrived(connection: socket.socket) -> float:
    """Return when the last bytes reached this machine, however late this thread came to read them."""
    facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    (milliseconds,) = struct.unpack_from("I", facts, 52)  # tcpi_last_data_recv
    return time.monotonic() - milliseconds / 1000


class Service:
    """Takes POSTs and answers what `reply` says. `asked` holds whole requests alone."""

    def __init__(self, reply: Callable[[Asked], Reply] | None = None) -> None:
        self.asked: list[Asked] = []
        self.cut: list[str] = []  # requests that began and were not finished
        self.connections = 0
        self.reply = reply or (lambda asked: (201, {}, b""))
        self.release = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) != length:
                    service.cut.append(self.path)
                    return
                names = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.path, names, body, arrived(self.connection))
                service.asked.append(asked)
                status, headers, answer = service.reply(asked)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def hang(self, asked: Asked) -> Reply:
        """Answer only once the test is over."""
        self.release.wait(60)
        return 201, {}, b""

    def stop(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def service(reply: Callable[[Asked], Reply] | None = None) -> Iterator[Service]:
    running = Service(reply)
    try:
        yield running
    finally:
        running.stop()


class Browser:
    """A browser's subscription at a push service: it can read what is pushed to it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.path = f"/push/{uuid.uuid4().hex}"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.secret = uuid.uuid4().bytes

    @property
    def subscription(self) -> dict[str, Any]:
        point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        return {
            "endpoint": f"{self.service.url}{self.path}",
            "expirationTime": None,
            "keys": {"p256dh": b64(point), "auth": b64(self.secret)},
        }

    @property
    def asked(self) -> list[Asked]:
        return [asked for asked in self.service.asked if asked.path == self.path]

    @property
    def pushes(self) -> list[dict[str, Any]]:
        """What the service worker would get, oldest first."""
        return [self.read(asked) for asked in self.asked]

    def read(self, asked: Asked) -> dict[str, Any]:
        assert asked.headers["content-encoding"] == "aes128gcm"
        plain = http_ece.decrypt(asked.body, private_key=self.key, auth_secret=self.secret, version="aes128gcm")
        return json.loads(plain)


def check_vapid(asked: Asked, *, origin: str, public_key: str) -> dict[str, Any]:
    """Check RFC 8292 as a push service does; return the claims."""
    scheme, _space, rest = asked.headers["authorization"].partition(" ")
    assert scheme == "vapid"
    given = dict(part.strip().split("=", 1) for part in rest.split(","))
    assert given["k"] == public_key
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(given["k"]))
    claims: dict[str, Any] = jwt.decode(given["t"], point, algorithms=["ES256"], audience=origin)
    assert claims["exp"] <= time.time() + 24 * 3_600
    assert claims["sub"].startswith(("mailto:", "https://"))
    assert int(asked.headers["ttl"]) >= 0
    assert asked.headers["urgency"] in {"very-low", "low", "normal", "high"}
    if "topic" in asked.headers:
        assert len(asked.headers["topic"]) <= 32
    return claims


class Google:
    """FCM's token endpoint and `messages:send` in one: `answers` by device token, else success."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65_537, 2_048)
        self.given: list[str] = []
        self.answers: dict[str, Reply] = {}
        self.service = Service(self.reply)

    @property
    def account(self) -> str:
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "garden",
                "private_key_id": "k1",
                "private_key": pem.decode(),
                "client_email": "push@garden.iam.gserviceaccount.com",
                "token_uri": f"{self.service.url}/token",
            }
        )

    def reply(self, asked: Asked) -> Reply:
        if asked.path == "/token":
            form = parse_qs(asked.body.decode())
            assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
            claims = jwt.decode(
                form["assertion"][0],
                self.key.public_key(),
                algorithms=["RS256"],
                audience=f"{self.service.url}/token",
            )
            assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
            assert jwt.get_unverified_header(form["assertion"][0])["kid"] == "k1"
            self.given.append(f"ya29.{uuid.uuid4().hex}")
            return 200, {}, json.dumps({"access_token": self.given[-1], "expires_in": 3_599}).encode()
        if not self.given or asked.headers["authorization"] != f"Bearer {self.given[-1]}":
            return 401, {}, b'{"error": {"code": 401, "status": "UNAUTHENTICATED"}}'
        assert asked.path == "/v1/projects/garden/messages:send"
        message = asked.json["message"]
        assert all(isinstance(value, str) for value in message["data"].values())
        return self.answers.get(message["token"], (200, {}, b'{"name": "projects/garden/messages/1"}'))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [asked.json["message"] for asked in self.service.asked if asked.path != "/token"]

    @staticmethod
    def error(status: int, code: str, **headers: str) -> Reply:
        details = [{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]
        body = {"error": {"code": status, "message": "no", "status": "X", "details": details}}
        return status, headers, json.dumps(body).encode()


class AppleServer:
    """APNs over TLS and HTTP/2, one stream after another: `answers` by device token, else 200."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, tuple[int, str]] = {}
        self.connections = 0
        self.certificate, key = _certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        context.set_alpn_protocols(["h2"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.context = context
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        import h2.config
        import h2.connection
        import h2.events

        with suppress(OSError), self.context.wrap_socket(plain, server_side=True) as wire:
            assert wire.selected_alpn_protocol() == "h2"
            self.connections += 1
            state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
            state.initiate_connection()
            wire.sendall(state.data_to_send())
            heads: dict[int, dict[str, str]] = {}
            bodies: dict[int, bytes] = {}
            while data := wire.recv(65_536):
                for event in state.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        heads[event.stream_id] = dict(event.headers)
                        bodies[event.stream_id] = b""
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                        state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        head = heads.pop(event.stream_id)
                        self.asked.append(Asked(head[":path"], head, bodies.pop(event.stream_id)))
                        status, reason = self.answers.get(head[":path"].rpartition("/")[2], (200, ""))
                        state.send_headers(event.stream_id, [(":status", str(status)), ("apns-id", str(uuid.uuid4()))])
                        answer = json.dumps({"reason": reason}).encode() if reason else b""
                        state.send_data(event.stream_id, answer, end_stream=True)
                wire.sendall(state.data_to_send())


def _certificate(folder: Path) -> tuple[str, str]:
    """Make a certificate for 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(chain), str(private)
