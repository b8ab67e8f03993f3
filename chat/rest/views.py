"""Base class of the chat's REST views."""

from django.contrib.auth.models import AnonymousUser
from rest_framework.request import Request
from rest_framework.views import APIView

from common import rates


class ChatView(APIView):
    """View for signed-in users with one rate limit per user for all endpoints of the chat."""

    def check_throttles(self, request: Request) -> None:
        # Not DRF's throttles: they read and then write, so that parallel calls are not all counted.
        rates.allow(name="chat", key=str(request.user.pk))

    @property
    def user_id(self) -> int:
        """Return the signed-in user's id; for views that require one."""
        user = self.request.user
        assert not isinstance(user, AnonymousUser)  # noqa: S101
        return int(user.pk)
