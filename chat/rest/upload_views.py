"""Endpoints of resumable uploads by tus 1.0 (https://tus.io/protocols/resumable-upload)."""

import base64
import binascii
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.http import http_date
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.parsers import FileUploadParser
from rest_framework.request import Request
from rest_framework.response import Response

from chat.media import resumable, store
from chat.media.errors import UnknownTusVersion, WrongMediaType
from chat.media.resumable import Progress
from chat.rest.views import ChatView
from common.errors import ValidationFailed

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
CONTENT_TYPE = "application/offset+octet-stream"


def _header(name: str, text: str, *, required: bool = True) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=text, required=required)


TUS = _header("Tus-Resumable", "`1.0.0`")


class OffsetParser(FileUploadParser):
    """Names the content type for the schema; the view reads the stream itself."""

    media_type = CONTENT_TYPE


class TusView(ChatView):
    parser_classes = [OffsetParser]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not hasattr(self, str(request.method).lower()):
            return  # answered with 405 in any case
        if request.method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
            raise UnknownTusVersion

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = VERSION
        if response.status_code == 412:
            response["Tus-Version"] = VERSION
        response["Cache-Control"] = "no-store"
        return response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Say what of tus is spoken here."""
        answer = Response(status=204)
        answer["Tus-Version"] = VERSION
        answer["Tus-Extension"] = EXTENSIONS
        answer["Tus-Max-Size"] = str(settings.UPLOAD_BYTES)
        return answer


class UploadsView(TusView):
    @extend_schema(
        request=None,
        parameters=[
            TUS,
            _header("Upload-Length", "Bytes of the whole file."),
            _header("Upload-Metadata", "`filename` and its base64.", required=False),
        ],
        responses={201: OpenApiResponse(description="`Location` names the upload, `Upload-Expires` its end.")},
    )
    def post(self, request: Request) -> Response:
        """Begin a resumable upload."""
        length = _number(request, "Upload-Length")
        name = _metadata(request).get("filename", "")
        made = resumable.create(user_id=self.user_id, name=name, length=length)
        answer = _told(Response(status=201), made)
        answer["Location"] = f"/api/chat/uploads/{made.uuid}/"
        return answer


class UploadView(TusView):
    @extend_schema(
        parameters=[TUS],
        responses={200: OpenApiResponse(description="`Upload-Offset`; `Attachment-Uuid` once it is whole.")},
    )
    def head(self, request: Request, upload_uuid: UUID) -> Response:
        """Say how far the upload is."""
        return _told(Response(), resumable.progress(user_id=self.user_id, upload_uuid=upload_uuid))

    @extend_schema(
        request={CONTENT_TYPE: {"type": "string", "format": "binary"}},
        parameters=[TUS, _header("Upload-Offset", "Where these bytes belong.")],
        responses={204: OpenApiResponse(description="`Upload-Offset`; `Attachment-Uuid` with the last byte.")},
    )
    def patch(self, request: Request, upload_uuid: UUID) -> Response:
        """Send bytes; what arrived of a request that is cut is kept."""
        if request.content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
            raise WrongMediaType
        offset = _number(request, "Upload-Offset")
        with TemporaryFile() as body:
            size = 0
            while block := request._request.read(store.BLOCK_BYTES):
                size += body.write(block)
            done = resumable.append(user_id=self.user_id, upload_uuid=upload_uuid, offset=offset, body=body, size=size)
        return _told(Response(status=204), done)

    @extend_schema(parameters=[TUS], responses={204: None})
    def delete(self, request: Request, upload_uuid: UUID) -> Response:
        """Give the upload up."""
        resumable.terminate(user_id=self.user_id, upload_uuid=upload_uuid)
        return Response(status=204)


def _told(answer: Response, progress: Progress) -> Response:
    answer["Upload-Offset"] = str(progress.offset)
    answer["Upload-Length"] = str(progress.length)
    answer["Upload-Expires"] = http_date(progress.expires_at.timestamp())
    if progress.attachment_uuid is not None:
        answer["Attachment-Uuid"] = str(progress.attachment_uuid)
    return answer


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ValidationFailed.of(name, "invalid", _("A valid integer is required."))
    return int(text)


def _metadata(request: Request) -> dict[str, str]:
    found = {}
    for pair in request.headers.get("Upload-Metadata", "").split(","):
        name, _space, value = pair.strip().partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise ValidationFailed.of("Upload-Metadata", "invalid", _("This is not base64.")) from None
    return found
