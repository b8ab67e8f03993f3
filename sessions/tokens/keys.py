"""The key ring: `JWT_SIGNING_KEYS` is a list of `kid:key`; the first signs, all verify.

A key is bound to one algorithm by what it *is*, never by what a token says (RFC 8725 §3.1):
- `kid:text` (or `kid:HS256:text`): a secret of at least 32 bytes, HS256
- `kid:EdDSA:…` or `kid:RS256:…`: a private key as one line, base64 of its PKCS#8 DER
- `kid:-----BEGIN …`: a PEM (line ends may be written `\\n`); a public one verifies only
- `kid:/path` : a file that holds one of these
- `@/path` : a ring file, one `kid:…` a line, read again when it changes, so that a rotation needs no restart

If nothing is set, embedded mode keeps a ring file in `var/` (mode 600), and production derives a key from SECRET_KEY
(kid `derived`). That works but ties the two together, hence a warning at start-up.
"""

import base64
import binascii
import hmac
import os
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from jwt import PyJWS
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

log = structlog.get_logger(__name__)

ALGORITHMS = ("HS256", "EdDSA", "RS256")
SECRET_BYTES = 32  # RFC 7518 §3.2: a key of at least the size of the hash
RSA_BITS = 2048  # RFC 7518 §3.3
_KID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_jws = PyJWS(algorithms=list(ALGORITHMS))


@dataclass(frozen=True)
class Key:
    """One key. `signing` is None for a public key, which verifies only."""

    kid: str
    algorithm: str
    signing: Any = field(repr=False)
    verifying: Any = field(repr=False)

    # PyJWT's own algorithm with the key as it takes it, and the header as it writes it: made once, not for each token.
    @cached_property
    def _algorithm(self) -> Any:
        return _jws.get_algorithm_by_name(self.algorithm)

    @cached_property
    def _prepared(self) -> tuple[Any, Any]:
        prepare = self._algorithm.prepare_key
        return self.signing and prepare(self.signing), prepare(self.verifying)

    @cached_property
    def _header(self) -> bytes:
        whole = _jws.encode(b"{}", self.signing, algorithm=self.algorithm, headers={"kid": self.kid})
        return whole.partition(".")[0].encode()

    def sign(self, payload: bytes) -> str:
        """Return the compact JWS. The same payload gives the same text: all three algorithms are deterministic."""
        signed = self._header + b"." + base64url_encode(payload)
        return (signed + b"." + base64url_encode(self._signature(signed))).decode()

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Return whether the signature over these bytes (header and payload of a compact JWS) is this key's."""
        if self.algorithm == "HS256":
            return hmac.compare_digest(self._signature(signed), signature)
        return bool(self._algorithm.verify(signed, self._prepared[1], signature))

    def _signature(self, signed: bytes) -> bytes:
        if self.algorithm == "HS256":  # one call into OpenSSL; PyJWT's is an object of Python's
            return hmac.digest(self._prepared[0], signed, "sha256")
        signature: bytes = self._algorithm.sign(signed, self._prepared[0])
        return signature

    def jwk(self) -> dict[str, Any] | None:
        """Return the public key as a JWK (RFC 7517), None for a shared secret."""
        match self.verifying:
            case ed25519.Ed25519PublicKey():
                jwk: dict[str, Any] = OKPAlgorithm.to_jwk(self.verifying, as_dict=True)
            case rsa.RSAPublicKey():
                jwk = RSAAlgorithm.to_jwk(self.verifying, as_dict=True)
            case _:
                return None
        jwk.pop("key_ops", None)
        return {**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


@dataclass(frozen=True)
class KeyRing:
    keys: dict[str, Key]
    signer: Key
    derived: bool = False

    def jwks(self) -> dict[str, Any]:
        return {"keys": [jwk for key in self.keys.values() if (jwk := key.jwk())]}


def parse(entry: str) -> Key:
    """Return the key of one `kid:key`. Raises ImproperlyConfigured, which never quotes the key."""
    kid, colon, text = entry.strip().partition(":")
    if not colon or not _KID.fullmatch(kid):
        raise ImproperlyConfigured("JWT_SIGNING_KEYS: each entry is kid:key, the kid of letters, digits and _ . -")
    if text.startswith("/"):
        try:
            text = Path(text).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(
                f"JWT_SIGNING_KEYS: the file of {kid} cannot be read: {error.strerror}"
            ) from None
    algorithm, colon, rest = text.partition(":")
    if colon and algorithm in ALGORITHMS:
        return _secret(kid, rest) if algorithm == "HS256" else _pair(kid, _der(kid, rest), expected=algorithm)
    if "-----BEGIN" in text:
        return _pair(kid, text.replace("\\n", "\n").encode())
    return _secret(kid, text)


def _secret(kid: str, text: str) -> Key:
    secret = text.encode()
    if len(secret) < SECRET_BYTES:
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: {kid} is shorter than {SECRET_BYTES} bytes")
    return Key(kid, "HS256", secret, secret)


def _der(kid: str, text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: {kid} is not base64") from None


def _load(data: bytes) -> Any:
    if b"PUBLIC KEY" in data:
        return serialization.load_pem_public_key(data)
    if b"-----BEGIN" in data:
        return serialization.load_pem_private_key(data, password=None)
    return serialization.load_der_private_key(data, password=None)


def _pair(kid: str, data: bytes, expected: str = "") -> Key:
    try:
        key = _load(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: {kid} is not a readable key") from None
    signing = key if hasattr(key, "sign") else None
    public = key.public_key() if signing else key
    if isinstance(public, ed25519.Ed25519PublicKey):
        algorithm = "EdDSA"
    elif isinstance(public, rsa.RSAPublicKey) and public.key_size >= RSA_BITS:
        algorithm = "RS256"
    else:
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: {kid} is neither Ed25519 nor RSA of {RSA_BITS} bits or more")
    if expected and expected != algorithm:
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: {kid} is a key for {algorithm}, not for {expected}")
    return Key(kid, algorithm, signing, public)


def build(entries: Iterable[str], *, derived: bool = False) -> KeyRing:
    """Return the ring of these entries. Raises ImproperlyConfigured."""
    keys: dict[str, Key] = {}
    for entry in entries:
        key = parse(entry)
        if key.kid in keys:
            raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: the kid {key.kid} stands twice")
        keys[key.kid] = key
    if settings.JWT_ALGORITHM not in ALGORITHMS:
        raise ImproperlyConfigured(f"JWT_ALGORITHM is one of {', '.join(ALGORITHMS)}")
    signer = next(iter(keys.values()), None)
    if signer is None or signer.signing is None:
        raise ImproperlyConfigured("JWT_SIGNING_KEYS: the first key has to be a secret or a private key: it signs")
    if signer.algorithm != settings.JWT_ALGORITHM:
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: the first key is for {signer.algorithm}, JWT_ALGORITHM is not")
    return KeyRing(keys, signer, derived)


def generate(algorithm: str, kid: str = "") -> str:
    """Return a new `kid:key` as one line."""
    kid = kid or f"{time.strftime('%Y%m%d', time.gmtime())}-{secrets.token_hex(3)}"
    if algorithm == "HS256":
        return f"{kid}:{secrets.token_urlsafe(48)}"
    key: Any = (
        ed25519.Ed25519PrivateKey.generate()
        if algorithm == "EdDSA"
        else rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
    )
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return f"{kid}:{algorithm}:{base64.urlsafe_b64encode(der).decode().rstrip('=')}"


def derived_entry() -> str:
    """Return the fallback key of production: HKDF (RFC 5869) of SECRET_KEY, from which neither can be computed back."""
    key = HKDF(hashes.SHA256(), 32, salt=None, info=b"alviar access and refresh tokens").derive(
        settings.SECRET_KEY.encode()
    )
    return f"derived:{base64.urlsafe_b64encode(key).decode()}"


def write_ring(path: Path, entries: list[str]) -> None:
    """Replace a ring file atomically (mode 600): a reader sees the old or the new content."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{entry}\n" for entry in entries))
    draft.replace(path)


def read_ring(path: Path) -> list[str]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise ImproperlyConfigured(f"JWT_SIGNING_KEYS: {path} cannot be read: {error.strerror}") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def embedded_ring_file() -> Path:
    """Return the embedded default's ring file, made on first use, one for each algorithm."""
    path = Path(settings.VAR_DIR) / f"jwt_signing_keys_{settings.JWT_ALGORITHM.lower()}"
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        write_ring(draft, [generate(settings.JWT_ALGORITHM)])
        try:
            os.link(draft, path)  # fails if another process was faster: then its key is used
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path


def sources() -> list[str]:
    """Return the entries of the setting, or the fallback if it is empty."""
    if settings.JWT_SIGNING_KEYS:
        return list(settings.JWT_SIGNING_KEYS)
    if not settings.PRODUCTION and settings.JWT_ALGORITHM in ALGORITHMS:
        return [f"@{embedded_ring_file()}"]
    if settings.JWT_ALGORITHM == "HS256" and settings.SECRET_KEY:
        return [derived_entry()]
    raise ImproperlyConfigured(f"JWT_SIGNING_KEYS is required for {settings.JWT_ALGORITHM}")


def ring_files() -> list[Path]:
    return [Path(source[1:]) for source in sources() if source.startswith("@")]


class _Loaded:
    """The key ring of this process, with the sources that it was built from."""

    RECHECK_SECONDS = 1.0

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear()

    def clear(self, **kwargs: Any) -> None:
        if kwargs.get("setting", "JWT_") in {"JWT_", "JWT_SIGNING_KEYS", "JWT_ALGORITHM", "SECRET_KEY", "PRODUCTION"}:
            self.ring: KeyRing | None = None
            self.files: list[Path] = []
            self.stamps: list[tuple[int, int]] = []
            self.checked = 0.0

    def get(self, *, kid: str = "") -> KeyRing:
        """Return the ring; its files are checked for changes once a second, and at once for an unknown `kid`."""
        ring = self.ring
        now = time.monotonic()
        is_fresh = not self.files or now - self.checked < self.RECHECK_SECONDS
        if ring is not None and is_fresh and (kid in ring.keys or not kid):
            return ring
        with self.lock:
            if self.ring is not None and (not self.files or self.stamps == _stamps(self.files)):
                self.checked = now
                return self.ring
            try:
                return self._load(now)
            except ImproperlyConfigured as error:
                if self.ring is None:
                    raise
                # A ring file that is being edited must not stop a server that has a valid ring.
                log.error("keys.ring_file_refused", error=str(error))
                self.checked = now
                return self.ring

    def _load(self, now: float) -> KeyRing:
        files = ring_files()
        stamps = _stamps(files)
        entries: list[str] = []
        for source in sources():
            entries.extend(read_ring(Path(source[1:])) if source.startswith("@") else [source])
        derived = not settings.JWT_SIGNING_KEYS and not files
        self.ring, self.files, self.stamps, self.checked = build(entries, derived=derived), files, stamps, now
        return self.ring


def _stamps(files: list[Path]) -> list[tuple[int, int]]:
    """Return what detects a changed file: inode (replaced) and modification time (written)."""
    try:
        return [((stat := file.stat()).st_ino, stat.st_mtime_ns) for file in files]
    except OSError:
        return []


_loaded = _Loaded()
setting_changed.connect(_loaded.clear, weak=False)


def ring(*, kid: str = "") -> KeyRing:
    """Return the key ring; an unknown `kid` makes it check the ring files again first."""
    return _loaded.get(kid=kid)
