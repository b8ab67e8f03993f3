"""Door to `users.http.views`, where the sessions guide looks for it."""

from users.http.views import *  # noqa: F403
