"""Seal secrets that must be read again (TOTP secrets, Apple's refresh tokens) with a key of the ring.

The key is derived from the ring's signing key by HKDF, so that neither gives the other (RFC 5869); the text is
`kid:` and base64url of nonce and AES-256-GCM ciphertext. `context` is bound to it: what was sealed for one person
opens for no other. After a rotation `reseal` moves it to the new key before the old one may leave the ring.
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
    """The key has left the ring, or the text is not what was sealed for this context."""


def seal(text: str, *, context: str) -> str:
    """Return `text` encrypted by the key that signs now."""
    key = keys.ring().signer
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = _cipher(key).encrypt(nonce, text.encode(), context.encode())
    return f"{key.kid}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, context: str) -> str:
    """Return what was sealed. Raises Unreadable."""
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
    """Tell whether the key that signs now sealed it."""
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
