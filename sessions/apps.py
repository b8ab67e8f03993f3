import asyncio

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from common import lifespan


class SessionsConfig(AppConfig):
    name = "sessions"
    label = "user_sessions"  # `sessions` belongs to django.contrib.sessions
    verbose_name = _("Sessions")

    def ready(self) -> None:
        from sessions import checks, purging, receivers  # noqa: F401

        purging.register()
        lifespan.on_startup(warm)


async def warm() -> None:
    """Load keys and places at start-up instead of during the first login.

    Not the parser of user agents: its 25 MB are for processes that sign people in (docs/adr/memory-of-a-worker.md).
    """
    from sessions.places import location
    from sessions.tokens import keys

    for build in (keys.ring, location.warm):
        await asyncio.to_thread(build)
