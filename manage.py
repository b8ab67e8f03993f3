#!/usr/bin/env python
"""Run Django's management commands with Alviar's settings."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.INSTALLED_APPS  # noqa: B018  (loads them)
    except ImproperlyConfigured as error:
        sys.exit(f"Alviar does not start with these settings:\n{error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
