"""Re-exports `users.http.serializers` under the name that the sessions guide uses."""

from users.http.serializers import *  # noqa: F403
