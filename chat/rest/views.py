"""What every REST view of the chat shares."""

from django.contrib.auth.models import AnonymousUser
from rest_framework.request import Request
from rest_framework.views import APIView

from common import rates


class ChatView(APIView):
    """A signed-in person's call, counted by the person: all of the chat's endpoints share one rate."""

    def check_throttles(self, request: Request) -> None:
        # Not DRF's throttles: they read, then write, so that parallel calls slip through.
        rates.allow(name="chat", key=str(request.user.pk))

    @property
    def user_id(self) -> int:
        """Return the id of who calls; only views that nobody anonymous reaches ask for it."""
        user = self.request.user
        assert not isinstance(user, AnonymousUser)  # noqa: S101
        return int(user.pk)
