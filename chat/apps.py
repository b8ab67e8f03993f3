from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = _("Chat")

    def ready(self) -> None:
        from chat import receivers
        from common import signals

        signals.user_closing.connect(receivers.leave_everything, dispatch_uid="chat.closing")
        signals.user_exporting.connect(receivers.export, dispatch_uid="chat.exporting")
