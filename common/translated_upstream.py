"""Texts of Django and DRF that their own French or Arabic catalogues lack, for translation in ours.

Listed so that makemessages keeps them; nothing imports this module.
"""

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

BORROWED = [
    ngettext_lazy(
        "This password is too short. It must contain at least %d character.",
        "This password is too short. It must contain at least %d characters.",
    ),
    _("Task Result"),
    _("Task Results"),
    _("Enabled"),
    _("Disabled"),
    _("Constraint “%(name)s” is violated."),
    _("Enter a valid %(protocol)s address."),
    _("IPv4 or IPv6"),
    _("A valid biginteger is required."),
    _("Integer value too large to convert to float"),
]
