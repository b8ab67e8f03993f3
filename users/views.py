"""Re-exports `users.http.views` under the name that the sessions guide uses."""

from users.http.views import *  # noqa: F403
