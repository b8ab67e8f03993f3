"""Encryption at rest for secrets that must be read again (TOTP secrets, Apple's refresh tokens).

The key is derived from the ring's signing key by HKDF (RFC 5869). The sealed text is `kid:` and base64url of nonce and
AES-256-GCM ciphertext. `context` is authenticated with it: a secret sealed for one user cannot be opened for another.
After a key rotation everything is sealed again with the new key before the old one may be removed from the ring.
"""

import base64
import secrets
from functools import lru_cache

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sessions.tokens import keys

log = structlog.get_logger(__name__)

NONCE_BYTES = 12


class Unreadable(Exception):
    """The key was removed from the ring, or the text was not sealed for this context."""


def seal(text: str, *, context: str) -> str:
    """Return `text` encrypted with the current signing key."""
    key = keys.ring().signer
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = _cipher(key).encrypt(nonce, text.encode(), context.encode())
    return f"{key.kid}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, context: str) -> str:
    """Return the decrypted text. Raises Unreadable."""
    kid, _colon, encoded = sealed.partition(":")
    key = keys.ring(kid=kid).keys.get(kid)
    if key is None or key.signing is None:
        log.error("sealing.key_missing", kid=kid)
        raise Unreadable
    try:
        raw = base64.urlsafe_b64decode(encoded)
        return _cipher(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode()).decode()
    except (InvalidTag, ValueError):
        raise Unreadable from None


def is_current(sealed: str) -> bool:
    """Return whether it was sealed with the current signing key."""
    return sealed.partition(":")[0] == keys.ring().signer.kid


def reseal(sealed: str, *, context: str) -> str:
    return seal(unseal(sealed, context=context), context=context)


@lru_cache(maxsize=64)
def _cipher(key: keys.Key) -> AESGCM:
    material = key.signing
    if not isinstance(material, bytes):
        material = material.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    return AESGCM(HKDF(hashes.SHA256(), 32, salt=None, info=b"alviar secrets at rest").derive(material))
