"""E-mail addresses: one spelling to store, one to compare by.

The part before the `@` is ASCII: `re.IGNORECASE` lets the Kelvin sign and the long s through as k and s, and a database
folds them or not, so that a reset for one address might reach another. The domain is kept as IDNA A-labels.
"""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

MAXIMUM_CHARS = 254


def normalise(address: str) -> str:
    """Return the address as it is stored. Raises django ValidationError (`invalid`)."""
    local, at, domain = address.strip().rpartition("@")
    try:
        plain = f"{local}{at}{domain.encode('idna').decode().lower()}"
    except UnicodeError:
        plain = ""
    if not local.isascii() or not plain.isascii() or len(plain) > MAXIMUM_CHARS:
        raise ValidationError(_("Enter a valid email address."), code="invalid")
    validate_email(plain)
    return plain


def key(address: str) -> str:
    """Return what addresses are compared by; an impossible address compares with none."""
    try:
        return normalise(address).lower()
    except ValidationError:
        return ""
