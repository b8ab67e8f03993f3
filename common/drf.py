"""DRF configuration: JSON renderer and parser, body validation, cursor pagination. No views: they import this."""

import base64
import codecs
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Q
from django.utils.translation import gettext as _
from rest_framework import exceptions, pagination, parsers, renderers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.utils.urls import replace_query_param

from common import json
from common.fields import BIGINT_MAX


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
            return json.loads(raw.removeprefix(codecs.BOM_UTF8))
        except json.JSONDecodeError as error:
            raise ParseError from error  # the decoder's message may quote the body, which may hold a password


def read(serializer: Any, request: Any, *, data: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Return the validated body; an optional key that is null counts as absent, as does a body that is null.

    Raises: ValidationError (400), and what the parser raises.
    """
    data = request.data if data is None else data
    reader = serializer(data={} if data is None and not kwargs.get("partial") else data, **kwargs)
    if isinstance(data, dict):
        reader.initial_data = {
            key: value for key, value in data.items() if value is not None or not _is_optional(reader, key)
        }
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def _is_optional(reader: Any, key: str) -> bool:
    """Return whether a null key counts as absent: not if null is a value of the field."""
    field = reader.fields.get(key)
    return field is not None and not field.allow_null and (reader.partial or not field.required)


class CursorPagination(pagination.CursorPagination):
    page_size = 50
    max_page_size = 100
    page_size_query_param = "limit"
    ordering = "-id"
    # Reads the first rows of a list that is asked from its start, where plain SQL is worth it; takes how many.
    first_rows: Callable[[int], list[Any]] | None = None

    def get_page_size(self, request: Any) -> int:
        """Return the page size: `limit` up to the maximum. Raises ValidationError if it is not a number."""
        asked = request.query_params.get(self.page_size_query_param)
        if not asked:
            return self.page_size
        if not asked.isdecimal() or not (limit := int(asked[:9])):
            raise exceptions.ValidationError({self.page_size_query_param: [_("A valid integer is required.")]})
        return min(limit, self.max_page_size)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        """Return the page after the last row shown, correct also for many rows with equal first values.

        DRF's own cursor has the first value and an offset of at most 1,000, so that longer ties never end. This cursor
        has every value of `ordering`, of which the last is unique. Raises NotFound for a forged cursor.
        """
        self.request = request
        limit = self.get_page_size(request)
        ordering = [self.ordering] if isinstance(self.ordering, str) else list(self.ordering)
        if ordering[-1].lstrip("-") not in {"id", "pk"}:
            ordering.append("-id")
        self.names = [name.lstrip("-") for name in ordering]
        backwards, position = self._position(queryset, request.query_params.get(self.cursor_query_param))
        directions = [name.startswith("-") != backwards for name in ordering]
        try:
            if position is None and self.first_rows:
                found = self.first_rows(limit + 1)
            else:
                rows = queryset.order_by(
                    *(f"-{name}" if down else name for name, down in zip(self.names, directions, strict=True))
                )
                if position is not None:
                    rows = rows.filter(_beyond(self.names, directions, position))
                found = list(rows[: limit + 1])
        except (ValidationError, ValueError, OverflowError, DataError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        more, self.page = len(found) > limit, found[:limit]
        if backwards:
            self.page.reverse()
        self.has_next, self.has_previous = (True, more) if backwards else (more, position is not None)
        if position is not None and not self.page:
            self.has_next = self.has_previous = False
        return self.page

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page for OpenAPI 3.1; DRF's own says `nullable`, which is of 3.0."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_next_link(self) -> str | None:
        return self._link(self.page[-1], backwards=False) if self.has_next and self.page else None

    def get_previous_link(self) -> str | None:
        return self._link(self.page[0], backwards=True) if self.has_previous and self.page else None

    def _link(self, row: Any, *, backwards: bool) -> str:
        values = [row[name] if isinstance(row, dict) else getattr(row, name) for name in self.names]
        place = {"p": [value.isoformat() if isinstance(value, datetime) else value for value in values]}
        raw = json.dumps(place | ({"r": 1} if backwards else {}))
        cursor = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        return str(replace_query_param(self.request.build_absolute_uri(), self.cursor_query_param, cursor))

    def _position(self, queryset: Any, cursor: str | None) -> tuple[bool, list[Any] | None]:
        """Return the direction and the values in a cursor. Raises NotFound for an invalid one."""
        if not cursor:
            return False, None
        try:
            place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            values = place["p"]
            if len(values) != len(self.names) or any(isinstance(value, dict | list) for value in values):
                raise ValueError
            fields = [queryset.model._meta.get_field("id" if name == "pk" else name) for name in self.names]
            position = [field.to_python(value) for field, value in zip(fields, values, strict=True)]
            if any(value is None or (isinstance(value, str) and "\x00" in value) for value in position):
                raise ValueError
            if any(isinstance(value, int) and not -BIGINT_MAX <= value <= BIGINT_MAX for value in position):
                raise ValueError
            if any(isinstance(value, datetime) and value.tzinfo is None for value in position):
                raise ValueError
        except (ValueError, TypeError, KeyError, ValidationError, OverflowError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        return bool(place.get("r")), position


def _beyond(names: Sequence[str], directions: Sequence[bool], position: Sequence[Any]) -> Q:
    """Return the condition that a row comes after the position in the order of `names`."""
    first, down = names[0], directions[0]
    strictly = Q(**{f"{first}__{'lt' if down else 'gt'}": position[0]})
    if len(names) == 1:
        return strictly
    # An index is used for the first condition; the rest filters the few rows with an equal value.
    within = Q(**{f"{first}__{'lte' if down else 'gte'}": position[0]})
    return within & (strictly | _beyond(names[1:], directions[1:], position[1:]))
