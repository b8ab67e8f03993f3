"""How mails look: name, colour, logo and address of the settings."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Theme:
    name: str
    colour: str
    ink: str  # on `colour`
    logo: str
    address: str


def of_settings() -> Theme:
    return Theme(
        name=settings.PRODUCT_NAME,
        colour=settings.BRAND_COLOUR,
        ink=ink_on(settings.BRAND_COLOUR),
        logo=settings.BRAND_LOGO_URL,
        address=settings.BRAND_ADDRESS,
    )


def ink_on(colour: str) -> str:
    """Return white or near-black, whichever stands out more. Source: WCAG 2.2, contrast ratio."""
    light = luminance(colour)
    return "#ffffff" if 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 else "#0c0f14"


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * _linear(red) + 0.7152 * _linear(green) + 0.0722 * _linear(blue)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
