"""Django's WSGI handler; `config.asgi` calls it in one hop."""

import os

from django.core.cache import close_caches
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import reset_queries

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

# At each request, for nothing: queries are recorded under DEBUG alone, which a server refuses, and no cache of ours has
# anything to close.
request_started.disconnect(reset_queries)
request_finished.disconnect(close_caches)
