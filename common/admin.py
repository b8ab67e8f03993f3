"""What the admin pages of every app share: history that cannot be changed, and an audit line for all that can."""

from typing import Any, ClassVar

import structlog
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

audit = structlog.get_logger("audit")


class Audited(admin.ModelAdmin):
    """Log who did what to which row, beside Django's own LogEntry. Messages name fields, never values."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit("admin.add", request, obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        self._audit("admin.change", request, obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for obj in queryset:
            self._audit("admin.delete", request, obj, "")
        return super().log_deletions(request, queryset)

    def log_act(self, request: HttpRequest, obj: Model, name: str) -> None:
        """Record one of our own actions: `name` is stable, for people and tools alike."""
        audit.info(f"admin.{name}", actor_id=request.user.pk, model=obj._meta.label_lower, object_id=str(obj.pk))
        super().log_change(request, obj, name)

    def _audit(self, event: str, request: HttpRequest, obj: Model, message: Any) -> None:
        audit.info(event, actor_id=request.user.pk, model=obj._meta.label_lower, object_id=str(obj.pk), message=message)


class History(admin.ModelAdmin):
    """Rows to read, with the view permission; nobody adds, changes or deletes one here, a superuser included."""

    list_select_related: ClassVar[Any] = True
    show_full_result_count = False
    actions: Any = None

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
