"""Association files for native apps that share our passkeys (`PASSKEY_APPS`), for Apple's and Google's systems."""

from typing import Any

from django.conf import settings


def apple() -> dict[str, Any]:
    """Return `apple-app-site-association`: the iOS apps, by TEAM.bundle."""
    apps = [app.removeprefix("ios:") for app in settings.PASSKEY_APPS if app.startswith("ios:")]
    return {"webcredentials": {"apps": apps}}


def android() -> list[dict[str, Any]]:
    """Return `assetlinks.json`: the Android apps with the fingerprints of their signing certificates."""
    return [
        {
            "relation": ["delegate_permission/common.get_login_creds"],
            "target": {"namespace": "android_app", "package_name": package, "sha256_cert_fingerprints": prints},
        }
        for package, prints in _signed().items()
    ]


def _signed() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for app in settings.PASSKEY_APPS:
        kind, _colon, rest = app.partition(":")
        if kind == "android":
            package, _colon, digest = rest.partition(":")
            found.setdefault(package, []).append(bytes.fromhex(digest.replace(":", "")).hex(":").upper())
    return found
