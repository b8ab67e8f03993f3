from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    default = True
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        from users import purging, receivers, security_events, suspensions  # noqa: F401
        from users.factors import resealing  # noqa: F401
        from users.passwords import breached  # noqa: F401
        from users.phone import texts  # noqa: F401


class UsersAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with the sign-in of `users.admin.site`."""

    default = False  # UsersConfig is this module's default; INSTALLED_APPS names this one in full
    default_site = "users.admin.site.AdminSite"

    def ready(self) -> None:
        super().ready()
        # Not in the package's `__init__`: the site is in that package and must exist before anything registers.
        from users.admin import history, people  # noqa: F401
