"""The VAPID key (RFC 8292), which identifies this server to push services.

`VAPID_PRIVATE_KEY` is the output of `manage.py push_keys`, or a PEM. If unset, the key is derived from SECRET_KEY
(in embedded mode a file in `var/`): Web Push then works at once, but every subscription ends when SECRET_KEY changes.
"""

import base64
import binascii
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

# RFC 8292 §2: at most 24 hours. Signed once an hour for each push service.
TOKEN_SECONDS = 12 * 3_600
RENEW_SECONDS = 3_600
ORIGINS = 1_000
CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-4 D.1.2.3

_lock = threading.Lock()
_key: ec.EllipticCurvePrivateKey | None = None
_signed: dict[str, tuple[str, float]] = {}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Decode base64 of either alphabet, padded or not. Raises ValueError."""
    try:
        plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def generate() -> str:
    """Return a new private key as one line: the 32 bytes of its number in base64."""
    return b64(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big"))


def parse(text: str) -> ec.EllipticCurvePrivateKey:
    """Return the key of one line or of a PEM. Raises ImproperlyConfigured, which never quotes the key."""
    try:
        if "-----BEGIN" in text:
            pem = serialization.load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
            if not isinstance(pem, ec.EllipticCurvePrivateKey) or not isinstance(pem.curve, ec.SECP256R1):
                raise ValueError("another kind of key")
            return pem
        raw = unb64(text)
        if len(raw) != 32:
            raise ValueError("another length")
        return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ImproperlyConfigured(
            "VAPID_PRIVATE_KEY is no private key of P-256. `manage.py push_keys` makes one."
        ) from None


def _derived() -> ec.EllipticCurvePrivateKey:
    # 16 bytes more than the order, so that the remainder is practically uniform (FIPS 186-5 A.2.1).
    raw = HKDF(hashes.SHA256(), 48, salt=None, info=b"alviar vapid").derive(settings.SECRET_KEY.encode())
    return ec.derive_private_key(int.from_bytes(raw, "big") % (CURVE_ORDER - 1) + 1, ec.SECP256R1())


def key() -> ec.EllipticCurvePrivateKey:
    """Return the private key. Raises ImproperlyConfigured if it is invalid."""
    global _key
    if _key is None:
        _key = parse(settings.VAPID_PRIVATE_KEY) if settings.VAPID_PRIVATE_KEY else _derived()
    return _key


def public_key(of: ec.EllipticCurvePrivateKey | None = None) -> str:
    """Return the `applicationServerKey` for browsers: the uncompressed point in base64url."""
    point = (of or key()).public_key()
    return b64(point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint))


def subject() -> str:
    """Return the contact for push services: an https or `mailto:` address (RFC 8292 §2.1)."""
    if settings.VAPID_SUBJECT:
        return settings.VAPID_SUBJECT
    if settings.PUBLIC_URL.startswith("https://"):
        return settings.PUBLIC_URL
    return f"mailto:{settings.DEFAULT_FROM_EMAIL.rpartition('<')[2].rstrip('>').strip()}"


def authorization(endpoint: str) -> str:
    """Return the Authorization header for this endpoint's push service (RFC 8292 §3)."""
    parts = urlsplit(endpoint)
    origin = f"{parts.scheme}://{parts.netloc}"
    now = time.time()
    with _lock:
        token, signed_at = _signed.get(origin, ("", 0.0))
        if not token or not 0 <= now - signed_at < RENEW_SECONDS:
            claims = {"aud": origin, "exp": int(now) + TOKEN_SECONDS, "sub": subject()}
            token = jwt.encode(claims, key(), algorithm="ES256")
            if len(_signed) >= ORIGINS:  # bounded, since any user can register an endpoint
                _signed.clear()
            _signed[origin] = (token, now)
    return f"vapid t={token}, k={public_key()}"


def _forget(*, setting: str, **kwargs: Any) -> None:
    global _key
    if setting in {"VAPID_PRIVATE_KEY", "VAPID_SUBJECT", "SECRET_KEY", "PUBLIC_URL", "DEFAULT_FROM_EMAIL"}:
        with _lock:
            _key = None
            _signed.clear()


setting_changed.connect(_forget, weak=False)
