from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import pre_delete
from django.utils.translation import gettext_lazy as _


class ChatConfig(AppConfig):
    name = "chat"
    verbose_name = _("Chat")

    def ready(self) -> None:
        from chat import receivers
        from chat.hub import tell
        from chat.log import published
        from chat.media import uploads  # noqa: F401  (its tasks and clean-ups)
        from chat.push import collect
        from chat.services import retention, word_list  # noqa: F401
        from common import lifespan, signals
        from common.postgresql import partitions

        partitions.register("chat_message", "chat_event")
        signals.user_closing.connect(receivers.leave_everything, dispatch_uid="chat.closing")
        signals.user_exporting.connect(receivers.export, dispatch_uid="chat.exporting")
        pre_delete.connect(
            receivers.leave_before_deletion, sender=settings.AUTH_USER_MODEL, dispatch_uid="chat.deletion"
        )
        signals.session_revoked.connect(tell.tell_revoked, dispatch_uid="chat.revoked")
        signals.user_suspended.connect(tell.tell_suspended, dispatch_uid="chat.suspended")
        receivers.notice_presence_rules()
        published.listen(tell.publish)
        published.listen_to_receipts(tell.tell_receipt)
        published.listen(collect.collector.note_messages)
        published.listen_to_receipts(collect.collector.note_receipt)
        lifespan.on_startup(tell.start)
        published.listen(word_list.note)
        lifespan.on_startup(collect.start)
        lifespan.on_startup(word_list.start)
        lifespan.on_shutdown(word_list.stop)
        lifespan.on_drain(tell.drain)
        lifespan.on_shutdown(tell.stop)
        lifespan.on_shutdown(collect.stop)
