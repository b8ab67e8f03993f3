"""Settings of sign-in methods (providers, passkeys, SMS), validated at start-up."""

import base64
import re
from collections.abc import Sequence
from typing import Any

from environs import validate

from common.loopback import is_loopback
from config import environment

_BUILT_IN = {
    # Google writes both in its tokens (its OpenID documentation).
    "google": ("https://accounts.google.com", ("accounts.google.com",)),
    "apple": ("https://appleid.apple.com", ()),
}
_PROVIDER = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_IOS = re.compile(r"ios:[A-Z0-9]{10}\.[A-Za-z0-9.-]+")
_ANDROID = re.compile(r"android:([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)+):([0-9A-Fa-f:]{64,95})")


def host_of(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "localhost"


def origin_of(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def passkey_app(text: str) -> None:
    """Raise ValidationError unless the text is `ios:TEAM.bundle` or `android:package:SHA256`."""
    text = text.strip()
    match = _ANDROID.fullmatch(text)
    if not _IOS.fullmatch(text) and not (match and len(match[2].replace(":", "")) == 64):
        raise validate.ValidationError(f"{text!r} is neither ios:TEAMID.bundle nor android:package:SHA256.")


def ios_apps(apps: Sequence[str]) -> list[str]:
    return [app.removeprefix("ios:") for app in apps if app.startswith("ios:")]


def android_apps(apps: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return (package, SHA-256 of its certificate) of each Android app."""
    found = [_ANDROID.fullmatch(app) for app in apps]
    return [(match[1], bytes.fromhex(match[2].replace(":", ""))) for match in found if match]


def passkey_origins(public_url: str, origins: Sequence[str], rp_id: str, apps: Sequence[str]) -> list[str]:
    """Return the accepted origins of passkeys: our pages, and native apps (Android has a format of its own)."""
    found = [origin_of(public_url), *origins]
    if ios_apps(apps):
        found.append(f"https://{rp_id}")
    for _package, digest in android_apps(apps):
        found.append(f"android:apk-key-hash:{base64.urlsafe_b64encode(digest).decode().rstrip('=')}")
    return list(dict.fromkeys(found))


def provider_name(text: str) -> None:
    if not _PROVIDER.fullmatch(text.strip()):
        raise validate.ValidationError(f"{text!r} is not a name such as google.")


def issuer(text: str) -> None:
    """Raise ValidationError unless the text is `https://`, or `http://` on this machine."""
    environment.http_url(text)
    if not text.startswith("https://") and not is_loopback(host_of(text)):
        raise validate.ValidationError("An issuer is https://; http:// only on this machine.")


def _ec_key(text: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not text:
        return
    try:
        key = load_pem_private_key(text.replace("\\n", "\n").encode(), password=None)
    except Exception:
        key = None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise validate.ValidationError("Not the PEM of a private key (the .p8 file of Apple).")


def social(env: environment.Environment, offered: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return issuer, accepted `iss` and client ids of each provider, and `client` for Apple's token endpoint."""
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys([*_BUILT_IN, *offered]):
        prefix = f"SOCIAL_{name.upper().replace('-', '_')}"
        default, also = _BUILT_IN.get(name, ("", ()))
        needed = name in offered
        address = env.str(f"{prefix}_ISSUER", default, check=issuer if needed or default else None)
        ids = env.list(f"{prefix}_CLIENT_IDS", [])
        if needed and not (address and ids):
            missing = f"{prefix}_CLIENT_IDS" if address else f"{prefix}_ISSUER"
            env.refuse(f"{missing} is required: SOCIAL_PROVIDERS names {name}.")
        issuers = [address, *(also if address == default else ())]
        found[name] = {"issuer": address, "issuers": issuers, "client_ids": ids, "client": None}
    key = env.str("SOCIAL_APPLE_PRIVATE_KEY", "", check=_ec_key).replace("\\n", "\n")
    team, key_id = env.str("SOCIAL_APPLE_TEAM_ID", ""), env.str("SOCIAL_APPLE_KEY_ID", "")
    if key and team and key_id:
        found["apple"]["client"] = {"team_id": team, "key_id": key_id, "private_key": key}
    return found


def country(text: str) -> None:
    import phonenumbers

    if text.strip().upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise validate.ValidationError(f"{text!r} is not a country such as FR.")


def sms_url(text: str) -> None:
    from urllib.parse import urlsplit

    if not text:
        return
    parts = urlsplit(text)
    sane = (
        parts.scheme == "console"
        or (parts.scheme == "file" and len(parts.path) > 1 and not parts.netloc)
        or (parts.scheme == "twilio" and parts.username and parts.password and parts.hostname)
        or (parts.scheme in {"http", "https"} and parts.hostname)
    )
    if not sane:
        raise validate.ValidationError(
            "Not console://, file:///folder, twilio://SID:TOKEN@FROM or https://gateway/?to={to}&text={text}."
        )
