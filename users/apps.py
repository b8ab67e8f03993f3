from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.translation import gettext_lazy as _


class UsersConfig(AppConfig):
    default = True
    name = "users"
    verbose_name = _("People")

    def ready(self) -> None:
        from users import breached_passwords, housekeeping, receivers, security_events  # noqa: F401


class UsersAdminConfig(admin_apps.AdminConfig):
    """Django's admin, with the sign-in of `users.admin_site`."""

    default = False  # of this module, that is UsersConfig; INSTALLED_APPS names this one in full
    default_site = "users.admin_site.AdminSite"
