from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SessionsConfig(AppConfig):
    name = "sessions"
    label = "user_sessions"  # `sessions` belongs to django.contrib.sessions
    verbose_name = _("Sessions")

    def ready(self) -> None:
        from sessions import checks, purging, receivers  # noqa: F401

        purging.register()
