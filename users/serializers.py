"""Door to `users.http.serializers`, where the sessions guide looks for it."""

from users.http.serializers import *  # noqa: F403
