"""Push services of our own on loopback: a browser's that decrypts and checks, FCM's, Apple's and Expo's stand-ins.

Written from the RFCs and the vendors' pages, with none of the product's code.
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import http_ece
import jwt
from cryptography.hazmat.primitives import serialization
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
                asked = Asked(self.path, names, body)
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
