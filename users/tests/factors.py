"""What tests of factors hold in their hands: an authenticator app, a passkey device, and other people's providers."""

import base64
import hashlib
import json
import os
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pyotp
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, encode_cbor

ORIGIN, RP_ID = "http://localhost:8000", "localhost"


def code_at(secret, steps=0):
    """Return the code of the app, `steps` half minutes from now."""
    return pyotp.TOTP(secret).at(int(time.time()) + 30 * steps)


class Authenticator:
    """A WebAuthn authenticator in software: one P-256 key for each credential (none attestation)."""

    def __init__(self, origin=ORIGIN, rp_id=RP_ID, *, verified=True, counts=True):
        self.origin, self.rp_id, self.verified, self.counts = origin, rp_id, verified, counts
        self.keys, self.handles, self.count = {}, {}, 0

    def _data(self, *, attested=b""):
        if self.counts:
            self.count += 1
        flags = 0x01 | (0x04 if self.verified else 0) | (0x40 if attested else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + struct.pack(">BI", flags, self.count) + attested

    def _client_data(self, kind, challenge):
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def create(self, options):
        """Answer creation options: the JSON of `navigator.credentials.create()`."""
        key, credential_id = ec.generate_private_key(ec.SECP256R1()), os.urandom(32)
        numbers = key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + struct.pack(">H", 32) + credential_id + encode_cbor(cose)
        made = encode_cbor({"fmt": "none", "attStmt": {}, "authData": self._data(attested=attested)})
        name = bytes_to_base64url(credential_id)
        self.keys[name], self.handles[name] = key, options["user"]["id"]
        client_data = self._client_data("webauthn.create", options["challenge"])
        response = {
            "clientDataJSON": bytes_to_base64url(client_data),
            "attestationObject": bytes_to_base64url(made),
            "transports": ["internal", "hybrid", "telepathy"],
        }
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}

    def get(self, options, name=""):
        """Answer request options: the JSON of `navigator.credentials.get()`."""
        name = name or next(iter(self.keys))
        data, client_data = self._data(), self._client_data("webauthn.get", options["challenge"])
        signed = self.keys[name].sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": bytes_to_base64url(client_data),
            "authenticatorData": bytes_to_base64url(data),
            "signature": bytes_to_base64url(signed),
            "userHandle": self.handles[name],
        }
        return {"id": name, "rawId": name, "type": "public-key", "response": response, "clientExtensionResults": {}}


class Issuer:
    """An OpenID provider on loopback. `delay` seconds before each answer; `status` of each answer."""

    def __init__(self):
        self.fetches, self.delay, self.status, self.posts = [], 0, 200, []
        self.key, self.kid, self.algorithm = None, "", "RS256"
        self.rotate()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.fetches.append(self.path)
                time.sleep(issuer.delay)
                self._answer(issuer.document(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer.posts.append((self.path, body))
                self._answer({"refresh_token": "apple-refresh-token"} if self.path == "/token" else {})

            def _answer(self, document):
                body = json.dumps(document).encode()
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self, path):
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "token_endpoint": f"{self.url}/token",
                "revocation_endpoint": f"{self.url}/revoke",
            }
        writer = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        jwk = writer.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**jwk, "kid": self.kid, "use": "sig"}, {"kty": "oct", "kid": "shared", "k": "AAAA"}]}

    def rotate(self, algorithm="RS256"):
        self.algorithm = algorithm
        self.key = (
            rsa.generate_private_key(public_exponent=65_537, key_size=2048)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        self.kid = os.urandom(4).hex()

    def token(self, *, key=None, algorithm="", headers=None, **claims):
        """Sign an ID token; a claim that is None is left out."""
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": "our-app",
            "sub": "1234",
            "iat": now,
            "exp": now + 600,
            "email": "alice@example.com",
            "email_verified": True,
        }
        said = {name: value for name, value in (said | claims).items() if value is not None}
        return jwt.encode(
            said, key or self.key, algorithm=algorithm or self.algorithm, headers={"kid": self.kid} | (headers or {})
        )

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def unsigned(claims):
    """Return a token of `alg: none`."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    text = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*text, ""])


__all__ = ["Authenticator", "Issuer", "base64url_to_bytes", "code_at", "unsigned"]
