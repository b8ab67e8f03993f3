"""Serializer fields of accounts, which return normalised and valid values."""

import unicodedata
import zoneinfo
from functools import cache
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils.translation import get_supported_language_variant
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common import labels
from common.fields import StrictCharField
from users.identity import addresses, names


class SecretField(StrictCharField):
    """A password as typed: any character but NUL. The length limit is far above the rules' and only saves work."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trim_whitespace": False, "write_only": True, "max_length": 4096, **kwargs})


class LinkTokenField(StrictCharField):
    """The UUID of a mailed link. An invalid UUID is refused like an unknown one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 4096, "help_text": "UUID", **kwargs})


class UsernameField(StrictCharField):
    def to_internal_value(self, data: Any) -> str:
        name = names.normalise(super().to_internal_value(data))
        _convert(names.validate, name)
        return name


class AddressField(StrictCharField):
    """A valid e-mail address, returned in its stored form."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": addresses.MAXIMUM_CHARS, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        return str(_convert(addresses.normalise, super().to_internal_value(data)))


class TypedAddressField(serializers.EmailField, StrictCharField):
    """An address to look up. Only the task finds out whether mail can go there, so the response reveals nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": addresses.MAXIMUM_CHARS, **kwargs})

    def to_internal_value(self, data: Any) -> str:
        return super().to_internal_value(data).translate(_FULL_STOPS)


# UTS #46: they part the labels of a domain as the dot does. Django's validator knows the dot alone.
_FULL_STOPS = str.maketrans("。．｡", "...")


@extend_schema_field({"type": "string"})
class LabelField(serializers.Field):
    """A name that comes from a device or a provider: cleaned and cut at `limit`, never a reason to refuse."""

    def __init__(self, *, limit: int, **kwargs: Any) -> None:
        self.limit = limit
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        return labels.label(data, limit=self.limit) if isinstance(data, str) else ""


class PlainTextField(StrictCharField):
    """A line of text that others read: every space as U+0020, no control, format or private-use characters."""

    def to_internal_value(self, data: Any) -> str:
        line = labels.spaced(unicodedata.normalize("NFC", super().to_internal_value(data))).strip()
        if not all(map(labels.is_readable, line)):
            raise serializers.ValidationError(_("Control characters are not allowed."), code="invalid")
        return line


def language_of(wish: str) -> str:
    """Return the supported language for a tag: `fr-CA` and `fr_FR` are `fr`. Raises LookupError."""
    return get_supported_language_variant(wish.strip().lower().replace("_", "-").partition(".")[0])


@extend_schema_field({"type": "string", "maxLength": 10, "example": "fr"})
class LanguageField(StrictCharField):
    """A supported language; a regional tag means its language (`fr-CA` is `fr`)."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return language_of(super().to_internal_value(data))
        except LookupError:
            raise serializers.ValidationError(_("This language is not available."), code="invalid_choice") from None


class TimezoneField(StrictCharField):
    """An IANA time zone."""

    def to_internal_value(self, data: Any) -> str:
        zone = super().to_internal_value(data)
        if zone not in _zones():
            raise serializers.ValidationError(_("This is not a time zone."), code="invalid_choice")
        return zone


@extend_schema_field({"type": "string", "example": "fr"})
class PreferredLanguageField(serializers.Field):
    """An optional preference that is never refused: an unsupported language becomes ''."""

    def to_internal_value(self, data: Any) -> str:
        try:
            return language_of(data) if isinstance(data, str) else ""
        except LookupError:
            return ""


@extend_schema_field({"type": "string", "example": "Africa/Algiers"})
class PreferredTimezoneField(serializers.Field):
    """An optional preference that is never refused: an unknown time zone becomes ''."""

    def to_internal_value(self, data: Any) -> str:
        return data if isinstance(data, str) and data in _zones() else ""


class PhoneNumberField(StrictCharField):
    """A telephone number with its country code, stored in E.164; '' for none."""

    def to_internal_value(self, data: Any) -> str:
        number = super().to_internal_value(data)
        if not number:
            return ""
        try:
            parsed = phonenumbers.parse(number)
        except phonenumbers.NumberParseException:
            parsed = None
        if parsed is None or not phonenumbers.is_possible_number(parsed):
            raise serializers.ValidationError(
                _("Enter a telephone number with its country code, such as +213 21 23 45 67."), code="invalid"
            )
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones()) - {"localtime", "Factory"}


def _convert(function: Any, value: str) -> Any:
    try:
        return function(value)
    except DjangoValidationError as error:
        raise serializers.ValidationError(error.messages, code=error.code) from None
