"""Endpoints of tokens (refresh, verify), logout, the session list, rename and revoke, and the JWKS."""

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from common import json, rates
from common.client import address_key, client_of
from common.drf import CursorPagination, read
from common.errors import ApplicationError, NotFound, TokenNotValid
from common.plain import Answer, HotView
from common.views import OpenAPIView, no_store, survives_errors
from sessions import payload
from sessions.authentication import bearer, current_sid
from sessions.models import UserSession
from sessions.places import devices, sockets
from sessions.serializers import (
    EmptySerializer,
    LoggedOutEverywhereSerializer,
    LogoutAllSerializer,
    LogoutSerializer,
    RefreshSerializer,
    RenameSerializer,
    SessionPageSerializer,
    SessionSerializer,
    SuccessSerializer,
    TokensSerializer,
    VerifySerializer,
)
from sessions.services import lifecycle, rotation
from sessions.tokens import keys

SID = OpenApiParameter("sid", OpenApiTypes.UUID, OpenApiParameter.PATH, description="the session's id")
REPLAYED = OpenApiParameter(
    "X-Refresh-Replayed",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    response=[200],
    enum=["1"],
    description="present where the answer repeats an earlier one",
)


def me(request: Request) -> int:
    """Return the user's id; the default permission requires a signed-in user."""
    return int(request.user.pk or 0)


def token_in(request: Request, serializer: type[Serializer[Any]], name: str) -> str:
    """Return the token of the body. A text that is not empty is what the serializer would return as it is."""
    data = request.data
    if type(data) is dict and type(token := data.get(name)) is str and token:
        return str(token)
    return str(read(serializer, request)[name])


@survives_errors
class RefreshView(HotView, OpenAPIView):
    plain = frozenset({"POST"})

    @extend_schema(
        operation_id="token_refresh",
        tags=["sessions"],
        auth=[],
        parameters=[REPLAYED],
        request=RefreshSerializer,
        responses={200: TokensSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Rotate a refresh token: 200 like login, without `user`. The same token again gets the same successor."""
        client = client_of(request)
        rates.allow(name="refresh_address", key=address_key(client.ip_address))
        rotated = rotation.rotate(refresh=token_in(request, RefreshSerializer, "refresh"), client=client)
        devices.compare_fingerprint(
            client.device_fingerprint,
            session_id=rotated.user_session.pk,
            sid=rotated.user_session.session_token,
            recorded=rotated.user_session.device_fingerprint,
        )
        response = Answer(payload.tokens(rotated.tokens, rotated.user_session))
        if rotated.replayed:
            response["X-Refresh-Replayed"] = "1"
        return no_store(response)


@survives_errors
class VerifyView(HotView, OpenAPIView):
    plain = frozenset({"POST"})

    @extend_schema(
        operation_id="token_verify",
        tags=["sessions"],
        auth=[],
        request=VerifySerializer,
        responses={200: OpenApiResponse(EmptySerializer, description="living")},
    )
    def post(self, request: Request) -> HttpResponse:
        """Tell whether an access or refresh token lives: 200 `{}`, else 401."""
        rotation.verify(token_in(request, VerifySerializer, "token"))
        return Answer({})


@survives_errors
class LogoutView(OpenAPIView):
    @extend_schema(
        operation_id="logout",
        tags=["sessions"],
        request=LogoutSerializer,
        responses={200: SuccessSerializer},
    )
    def post(self, request: Request) -> Response:
        """End the session of the Bearer, which may be expired, and of `refresh`. Idempotent."""
        try:
            access = bearer(request)
        except TokenNotValid:
            access = None
        # Whatever the body holds, the Bearer's session ends: who signs out must not stay signed in for a comma. Without
        # a Bearer a body that says nothing is refused, since nothing would end.
        try:
            refresh = read(LogoutSerializer, request).get("refresh")
        except (exceptions.APIException, ApplicationError):
            if access is None:
                raise
            refresh = None
        lifecycle.logout(presented=[raw for raw in (access, refresh) if raw], client=client_of(request))
        return Response({"success": True})


class LogoutAllView(APIView):
    @extend_schema(
        operation_id="logout_all",
        tags=["sessions"],
        request=LogoutAllSerializer,
        responses={200: LoggedOutEverywhereSerializer},
    )
    def post(self, request: Request) -> Response:
        """End every session of mine, or with `keep_current` every other one."""
        keep = current_sid(request) if self._keeps_current(request) else None
        revoked = lifecycle.revoke_all(
            user_id=me(request), except_sid=keep, reason="logout_all", client=client_of(request)
        )
        return Response({"success": True, "revoked": revoked})

    @staticmethod
    def _keeps_current(request: Request) -> bool:
        """Return the wish of the body; one that is no JSON object holds none, and keeps nobody signed in."""
        try:
            holds_a_wish = isinstance(request.data, dict)
        except (exceptions.APIException, ApplicationError):
            return False
        return holds_a_wish and bool(read(LogoutAllSerializer, request)["keep_current"])


class NewestFirst(CursorPagination):
    ordering = ("-last_seen_at", "-id")  # type: ignore[assignment]  # a sequence is what it becomes anyway


class SessionsView(HotView):
    plain = frozenset({"GET"})

    @extend_schema(
        operation_id="sessions_list",
        tags=["sessions"],
        parameters=[
            OpenApiParameter("limit", OpenApiTypes.INT, description="at most 100"),
            OpenApiParameter("cursor", OpenApiTypes.STR),
        ],
        responses={200: SessionPageSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """List my living sessions, newest activity first."""
        paginator = NewestFirst()
        paginator.first_rows = lambda limit: lifecycle.newest_of(me(request), limit=limit)
        page: list[UserSession] = (
            paginator.paginate_queryset(SimpleLazyObject(lambda: lifecycle.living_of(me(request))), request, self) or []
        )
        counts = sockets.count(one.session_token for one in page)
        sid = current_sid(request)
        shown = [payload.session(one, current_sid=sid, open_sockets=counts[one.session_token]) for one in page]
        return Answer({"next": paginator.get_next_link(), "previous": paginator.get_previous_link(), "results": shown})


def sid_of(text: str) -> uuid.UUID:
    """Return the session id of a path. Raises: NotFound (404) for what is not a UUID."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NotFound from None


class SessionView(APIView):
    @extend_schema(
        operation_id="sessions_rename",
        tags=["sessions"],
        parameters=[SID],
        request=RenameSerializer,
        responses={200: SessionSerializer},
    )
    def patch(self, request: Request, sid: str) -> Response:
        """Name the device of a session of mine."""
        name = read(RenameSerializer, request)["device_name"]
        user_session = lifecycle.rename(user_id=me(request), sid=sid_of(sid), device_name=name)
        return Response(payload.session(user_session, current_sid=current_sid(request)))

    @extend_schema(
        operation_id="sessions_delete", tags=["sessions"], parameters=[SID], responses={200: SuccessSerializer}
    )
    def delete(self, request: Request, sid: str) -> Response:
        """Revoke a session of mine."""
        return revoke(request, sid)


class RevokeView(APIView):
    @extend_schema(
        operation_id="sessions_revoke",
        tags=["sessions"],
        parameters=[SID],
        request=None,
        responses={200: SuccessSerializer},
    )
    def post(self, request: Request, sid: str) -> Response:
        """Revoke a session of mine, the current one included. Idempotent."""
        return revoke(request, sid)


def revoke(request: Request, sid: str) -> Response:
    lifecycle.revoke(user_id=me(request), sid=sid_of(sid), reason="revoked", client=client_of(request))
    return Response({"success": True})


def jwks(request: HttpRequest) -> HttpResponse:
    """Answer the public keys (RFC 7517 §5); with HS256 there are none to show."""
    response = HttpResponse(json.dumps(keys.ring().jwks()), content_type="application/jwk-set+json")
    response["Cache-Control"] = "public, max-age=300"
    return response
