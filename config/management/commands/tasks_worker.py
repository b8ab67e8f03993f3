"""Run the tasks: mails, clean-ups and whatever else left its request. Ends on SIGTERM once the task at hand is done."""

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from common.metrics import PROCESSES
from common.tasks import WorkerThreads
from config.checks import refuse_unsafe_start
from config.processes import die_with_parent, say_ready


class Command(BaseCommand):
    help = "Run the tasks until SIGTERM or SIGINT."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_start()
        die_with_parent()
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda number, frame: stop.set())
        workers = WorkerThreads()
        workers.start()
        PROCESSES.labels("tasks").set(1)
        say_ready()
        stop.wait()
        workers.stop(within_s=settings.DRAIN_SECONDS)
