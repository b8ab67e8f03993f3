"""Multipart parser that keeps file names intact: Django's own removes joiner characters from them."""

from typing import Any

from django.conf import settings
from django.http.multipartparser import MultiPartParser as DjangoParser
from django.http.multipartparser import MultiPartParserError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles

from chat.media import names


class _Parser(DjangoParser):
    def sanitize_file_name(self, file_name: str) -> str:
        return names.clean(file_name)


class MultiPartParser(BaseParser):
    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> DataAndFiles:
        request = parser_context["request"]
        meta = {**request.META, "CONTENT_TYPE": media_type}
        try:
            parser = _Parser(meta, stream, request.upload_handlers, settings.DEFAULT_CHARSET)
            data, files = parser.parse()
        except MultiPartParserError as error:
            raise ParseError from error
        return DataAndFiles(data, files)
