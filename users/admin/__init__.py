"""The admin of accounts; `autodiscover` looks here."""

from users.admin import people

__all__ = ["people"]
