"""Django's WSGI handler without what no request of ours needs; `config.asgi` calls it in one hop."""

import os
from typing import Any

import django
from django.core.cache import close_caches
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.log import log_response

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Handler(WSGIHandler):
    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Do what the superclass does for a server at the root of its host, without wrappers of files."""
        request_started.send(sender=type(self), environ=environ)
        response: Any = self.get_response(self.request_class(environ))
        response._handler_class = type(self)
        cookies = [("Set-Cookie", cookie.output(header="")) for cookie in response.cookies.values()]
        start_response(
            f"{response.status_code} {response.reason_phrase}", [*response.headers._store.values(), *cookies]
        )
        return response

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Do what the superclass does, but name no URLconf: there is one, and it is the default of each look-up."""
        response: HttpResponseBase = self._middleware_chain(request)  # type: ignore[attr-defined]
        response._resource_closers.append(request.close)  # type: ignore[attr-defined]
        if response.status_code >= 400:
            log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)  # type: ignore[arg-type]
        return response


django.setup(set_prefix=False)
application: Any = Handler()

# At each request, for nothing: queries are recorded under DEBUG alone, which a server refuses, no cache of ours has
# anything to close, and each request has returned its connections when it ended.
request_started.disconnect(reset_queries)
request_started.disconnect(close_old_connections)
request_finished.disconnect(close_caches)
