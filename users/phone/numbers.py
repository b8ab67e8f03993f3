"""Validation and masking of telephone numbers for SMS."""

from dataclasses import dataclass

import phonenumbers
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from phonenumbers import PhoneNumberType

from common.errors import ValidationFailed

# Premium, shared-cost, satellite, VoIP and toll-free numbers are expensive or cannot receive SMS.
_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}


@dataclass(frozen=True, kw_only=True)
class Mobile:
    """A mobile number: `number` in E.164, `country` as ISO 3166 code."""

    number: str
    country: str


def mobile(number: str) -> Mobile:
    """Return the mobile number if it can receive SMS.

    Raises: ValidationFailed under `phone_number`: `not_mobile`, or `country_not_served` (`SMS_COUNTRIES`).
    """
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        raise _not_mobile() from None
    if not phonenumbers.is_valid_number(parsed) or phonenumbers.number_type(parsed) not in _MOBILE:
        raise _not_mobile()
    country = phonenumbers.region_code_for_number(parsed) or ""
    if settings.SMS_COUNTRIES and country not in settings.SMS_COUNTRIES:
        text = _("We send no text messages to this country.")
        raise ValidationFailed.of("phone_number", "country_not_served", text)
    return Mobile(number=phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), country=country)


def _not_mobile() -> ValidationFailed:
    text = _("This number cannot receive text messages. Enter a mobile number with its country code.")
    return ValidationFailed.of("phone_number", "not_mobile", text)


def masked(number: str) -> str:
    """Return `+33…78`: recognisable for its owner, but not callable."""
    return f"{number[:3]}…{number[-2:]}" if len(number) > 5 else ""
