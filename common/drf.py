"""How DRF reads and writes: one JSON renderer and parser, cursor pages. No view here: DRF imports this for its own."""

from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError
from django.utils.translation import gettext as _
from rest_framework import exceptions, pagination, parsers, renderers
from rest_framework.exceptions import NotFound, ParseError

from common import json


class JSONRenderer(renderers.BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return b"" if data is None else json.dumps(data)


class JSONParser(parsers.BaseParser):
    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        raw = stream.read(settings.BODY_LIMIT_BYTES + 1)
        if len(raw) > settings.BODY_LIMIT_BYTES:
            from common.errors import TooLarge

            raise TooLarge
        try:
            return json.loads(raw)
        except json.JSONDecodeError as error:
            raise ParseError from error  # the decoder's message may quote the body, which may hold a password


class CursorPagination(pagination.CursorPagination):
    page_size = 50
    max_page_size = 100
    page_size_query_param = "limit"
    ordering = "-id"

    def get_page_size(self, request: Any) -> int:
        """Return the rows of a page: `limit` up to the maximum. Raises ValidationError for what is no number."""
        asked = request.query_params.get(self.page_size_query_param)
        if not asked:
            return self.page_size
        if not asked.isdecimal() or not (limit := int(asked[:9])):
            raise exceptions.ValidationError({self.page_size_query_param: [_("A valid integer is required.")]})
        return min(limit, self.max_page_size)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, ValueError, OverflowError, DataError) as error:
            # DRF checks the cursor's outside; the position within goes to the database as it came.
            raise NotFound(self.invalid_cursor_message) from error
