"""Tasks in the admin: what waits, runs and failed, without what it was asked with (that may be an address)."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django_tasks_db.models import DBTaskResult

from common.admin import History, as_uuid

if admin.site.is_registered(DBTaskResult):
    admin.site.unregister(DBTaskResult)


@admin.register(DBTaskResult)
class TaskAdmin(History):
    list_display = ("enqueued_at", "task_path", "status", "queue_name", "run_after", "finished_at")
    list_filter = ("status",)
    search_fields = ("id",)
    list_select_related: ClassVar[Any] = False
    ordering = ("-enqueued_at",)
    fields = (
        "id", "task_path", "status", "queue_name", "priority", "enqueued_at", "run_after", "started_at", "finished_at",
        "attempts", "exception_class_path", "traceback",
    )  # fmt: skip
    readonly_fields = ("attempts",)

    def found_by(self, term: str) -> Q:
        token = as_uuid(term)
        return Q(pk=token) if token else Q(task_path=term)

    @admin.display(description="attempts")
    def attempts(self, row: Any) -> int:
        return len(row.worker_ids)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("args_kwargs", "return_value")
