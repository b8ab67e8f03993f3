"""Push endpoints: register and remove the device of the current session, show the VAPID key."""

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.drf import read
from common.errors import NotFound
from sessions.authentication import current_sid
from sessions.push import providers, registrations, vapid
from sessions.push.serializers import PushInput, PushKeyOutput, PushOutput, refusal
from sessions.views import SID, me, sid_of


class PushView(APIView):
    @extend_schema(
        operation_id="sessions_push_register",
        tags=["sessions"],
        parameters=[SID],
        request=PushInput,
        responses={200: PushOutput},
    )
    def put(self, request: Request, sid: str) -> Response:
        """Have the device of this very session pushed to, in place of what it had registered before."""
        current = own(request, sid)
        wanted: dict[str, Any] = read(PushInput, request)
        if not providers.of(wanted["provider"]).is_configured():
            raise refusal("provider", "not_configured")
        registration = registrations.register(user_id=me(request), sid=current, **wanted)
        return Response(registrations.shown(registration))

    @extend_schema(operation_id="sessions_push_forget", tags=["sessions"], parameters=[SID], responses={204: None})
    def delete(self, request: Request, sid: str) -> Response:
        """Push nothing more to the device of this very session. Idempotent."""
        registrations.unregister(user_id=me(request), sid=own(request, sid))
        return Response(status=204)


class PushKeyView(APIView):
    @extend_schema(operation_id="push_key", tags=["sessions"], responses={200: PushKeyOutput})
    def get(self, request: Request) -> Response:
        """Show the key with which a browser subscribes (`applicationServerKey`)."""
        return Response({"vapid_public_key": vapid.public_key()})


def own(request: Request, sid: str) -> uuid.UUID:
    """Return the request's session if it is the one in the path. Raises NotFound: a session registers only itself."""
    current = current_sid(request)
    if current is None or sid_of(sid) != current:
        raise NotFound
    return current
