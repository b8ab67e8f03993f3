"""Endpoints of attachments: upload in one request, metadata, download, thumbnail."""

import re
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chat.media import access, payload, store, uploads
from chat.media.errors import RangeNotSatisfiable
from chat.media.models import Attachment
from chat.rest import attachment_serializers as serializers
from chat.rest.multipart import MultiPartParser
from chat.rest.views import ChatView
from common.errors import NotFound, TemporarilyUnavailable, TooLarge, ValidationFailed, respond

RECHECK_SECONDS = 2.0
RANGE = OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="One range of bytes.")
BYTES = {
    (200, "application/octet-stream"): OpenApiTypes.BINARY,
    (206, "application/octet-stream"): OpenApiTypes.BINARY,
    302: OpenApiResponse(description="To a signed address of 5 minutes, where an object store holds the bytes."),
    304: OpenApiResponse(description="Not changed since `If-None-Match`."),
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class AttachmentsView(ChatView):
    parser_classes = [MultiPartParser]

    @extend_schema(
        request={"multipart/form-data": serializers.FileInput}, responses={201: serializers.AttachmentOutput}
    )
    def post(self, request: Request) -> Response:
        """Upload a file for a message to come: up to 10 MiB, larger ones by `chat/uploads/`."""
        file = request.FILES.get("file")
        if file is None:
            code, message = ("invalid", _("This is not a file.")) if "file" in request.data else ("required", _REQUIRED)
            raise ValidationFailed.of("file", code, message)
        size = int(file.size or 0)
        if size > settings.ATTACHMENT_BYTES:
            raise TooLarge
        row = uploads.accept(user_id=self.user_id, name=file.name or "", source=file, size=size)
        return Response(payload.attachment(row), status=201)


_REQUIRED = _("No file was submitted.")


class AttachmentMetaView(ChatView):
    @extend_schema(responses=serializers.AttachmentOutput)
    def get(self, request: Request, attachment_uuid: UUID) -> Response:
        """Describe an attachment that I uploaded or can see."""
        return Response(payload.attachment(access.readable(self.user_id, attachment_uuid)))


class AttachmentView(ChatView):
    @extend_schema(parameters=[RANGE], responses=BYTES)
    def get(self, request: Request, attachment_uuid: UUID) -> HttpResponseBase:
        """Read the bytes of an attachment that I uploaded or can see."""
        row = access.readable(self.user_id, attachment_uuid)
        if row.state != Attachment.State.READY:
            raise TemporarilyUnavailable(retry_after=1)
        inline = row.kind != Attachment.Kind.FILE
        disposition = uploads.disposition(row.name, inline=inline)
        return _bytes(request, self.user_id, row, store.CONTENT, row.content_type, disposition, row.size)


class ThumbnailView(ChatView):
    @extend_schema(responses={**BYTES, (200, "image/webp"): OpenApiTypes.BINARY})
    def get(self, request: Request, attachment_uuid: UUID) -> HttpResponseBase:
        """Read the small picture of an image, or of a video's beginning."""
        row = access.readable(self.user_id, attachment_uuid)
        if not row.has_thumbnail:
            raise NotFound
        return _bytes(request, self.user_id, row, store.THUMBNAIL, "image/webp", "inline", None)


def _bytes(
    request: Request, user_id: int, row: Attachment, which: str, content_type: str, disposition: str, size: int | None
) -> HttpResponseBase:
    key = store.key_of(row.uuid, which)
    if link := store.link(key):
        return _private(HttpResponseRedirect(link))
    etag = f'"{row.uuid.hex}-{which[:1]}{row.size:x}"'
    if etag in request.headers.get("If-None-Match", ""):
        return _private(HttpResponse(status=304, headers={"ETag": etag}))
    file = store.open_object(key)
    size = file.seek(0, 2)
    try:
        part = _asked(request, size, etag)
    except RangeNotSatisfiable as error:
        file.close()
        refusal = respond(error)
        refusal["Content-Range"] = f"bytes */{size}"
        return _private(refusal)
    first, end = part or (0, size)
    answer = StreamingHttpResponse(_Blocks(file, first, end, user_id, row.uuid), status=206 if part else 200)
    answer["Content-Type"] = content_type
    answer["Content-Length"] = str(end - first)
    answer["Content-Disposition"] = disposition
    answer["Accept-Ranges"] = "bytes"
    answer["ETag"] = etag
    if part:
        answer["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    return _private(answer)


def _private(answer: Any) -> Any:
    """Forbid shared caches, and make the user's browser revalidate, since access may end."""
    answer["Cache-Control"] = "private, no-cache"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


def _asked(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """Return start and end of the requested range (RFC 9110 §14), None for all bytes, also for an invalid range.

    Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if match is None or not any(match.groups()) or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if not first:
        length = min(int(last[:18]), size)
        if not length:
            raise RangeNotSatisfiable
        return size - length, size
    start, end = int(first[:18]), min(int(last[:18]) + 1, size) if last else size
    if last and int(last[:18]) < start:
        return None  # not a valid range
    if start >= size:
        raise RangeNotSatisfiable
    return start, end


class _Blocks:
    """Iterator over the bytes from `first` to `end`, which stops when the user loses access."""

    def __init__(self, file: Any, first: int, end: int, user_id: int, attachment_uuid: UUID) -> None:
        self.file, self.left = file, end - first
        self.user_id, self.attachment_uuid = user_id, attachment_uuid
        file.seek(first)

    def __iter__(self) -> Iterator[bytes]:
        checked = time.monotonic()
        while self.left > 0:
            if time.monotonic() - checked > RECHECK_SECONDS:
                if not access.may_still_read(self.user_id, self.attachment_uuid):
                    # Content-Length was sent: only closing the connection early shows that bytes are missing.
                    raise ConnectionAbortedError("no longer allowed")
                checked = time.monotonic()
            block = self.file.read(min(store.BLOCK_BYTES, self.left))
            if not block:
                raise ConnectionAbortedError("shorter than said")
            self.left -= len(block)
            yield block

    def close(self) -> None:
        self.file.close()
