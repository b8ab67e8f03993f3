from django.apps import AppConfig
from django.urls import register_converter

from common.paths import AnyCaseUUID


class CommonConfig(AppConfig):
    name = "common"
    verbose_name = "Common"

    def ready(self) -> None:
        register_converter(AnyCaseUUID, "any_uuid")
