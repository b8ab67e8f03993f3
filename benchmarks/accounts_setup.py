"""A fresh database for a benchmark of accounts, gone afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def database() -> Iterator[None]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    import django

    django.setup()
    from django.conf import settings
    from django.test.utils import get_runner, setup_test_environment, teardown_test_environment

    settings.RATE_LIMITS = dict.fromkeys(settings.RATE_LIMITS, "0")
    setup_test_environment(debug=False)
    runner = get_runner(settings, "django.test.runner.DiscoverRunner")(verbosity=0, interactive=False)
    old = runner.setup_databases()
    try:
        yield
    finally:
        runner.teardown_databases(old)
        teardown_test_environment()
