"""Normalisation of e-mail addresses: one form to store, one to compare by.

The local part must be ASCII: `re.IGNORECASE` matches the Kelvin sign and the long s as k and s, while databases differ
in folding them, so that a reset for one address might reach another. The domain is stored as IDNA 2008 A-labels,
non-transitional (UTS #46): Python's own codec is IDNA 2003 and turns `faß.de` into `fass.de`, another domain.
"""

import idna
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

MAXIMUM_CHARS = 254


def normalise(address: str) -> str:
    """Return the address in its stored form. Raises django ValidationError (`invalid`)."""
    local, at, domain = address.strip().rpartition("@")
    try:
        plain = f"{local}{at}{_domain(domain)}"
    except (UnicodeError, ValueError, IndexError):  # idna.IDNAError is a UnicodeError
        plain = ""
    if not local.isascii() or not plain.isascii() or len(plain) > MAXIMUM_CHARS:
        raise ValidationError(_("Enter a valid email address."), code="invalid")
    validate_email(plain)
    return plain


def _domain(domain: str) -> str:
    """Return a domain in lower case and ASCII.

    A name that is ASCII already is not checked further, `ab--cd.example` included, unless a label claims to be IDNA.
    """
    if domain.isascii() and not any(label.startswith("xn--") for label in domain.lower().split(".")):
        return domain.lower()
    return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii").lower()


def settled(address: str) -> str:
    """Return the stored form, or an invalid address unchanged (imports, `createsuperuser`)."""
    try:
        return normalise(address) if address else ""
    except ValidationError:
        return address


def key(address: str) -> str:
    """Return the form that addresses are compared by; an invalid address matches none."""
    try:
        return normalise(address).lower()
    except ValidationError:
        return ""
