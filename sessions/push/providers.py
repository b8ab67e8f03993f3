"""The push providers by the name that a registration stores."""

from sessions.push.apns import Apns
from sessions.push.expo import Expo
from sessions.push.fcm import Fcm
from sessions.push.provider import Provider
from sessions.push.webpush import WebPush

PROVIDERS: dict[str, Provider] = {"webpush": WebPush(), "fcm": Fcm(), "apns": Apns(), "expo": Expo()}


def of(name: str) -> Provider:
    return PROVIDERS[name]
