from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Wiring"

    def ready(self) -> None:
        from common import lifespan, tasks
        from common.postgresql import monitor
        from config import checks, counts, figures, schema, telemetry  # noqa: F401  (all register what they define)

        # The library names its app in English only.
        apps.get_app_config("django_tasks_database").verbose_name = _("Tasks")  # type: ignore[assignment]
        telemetry.start_reports()
        lifespan.on_startup(telemetry.start_traces)
        lifespan.on_startup(monitor.start)
        lifespan.on_startup(tasks.start_in_process)
        lifespan.on_shutdown(tasks.stop_in_process)
        lifespan.on_shutdown(monitor.stop)
        lifespan.on_shutdown(telemetry.stop_traces)
