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
    """Load keys and lookup tables (0.3 s in all) at start-up instead of during the first login."""
    from sessions.places import devices, location
    from sessions.tokens import keys

    for build in (keys.ring, devices.warm, location.warm):
        await asyncio.to_thread(build)
