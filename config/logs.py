"""Logging: JSON lines in production, readable text otherwise, with the request id; no tokens or query strings."""

import logging
import logging.config
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
]


class Formatter(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter copies the whole record for each line; of our own lines it needs the fields alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._of_ours = tuple(self.processors)[1:]  # the first removes what the superclass adds

    def format(self, record: logging.LogRecord) -> str:
        fields: Any = record.msg
        if type(fields) is not dict or not hasattr(record, "_logger"):  # a library's line
            return super().format(record)
        line: Any = fields.copy()
        for process in self._of_ours:
            line = process(record._logger, record._name, line)  # type: ignore[attr-defined]
        return str(line)


def configure(wanted: dict[str, str]) -> None:
    """Set up structlog and, through the same formatter, what Django, uvicorn and the libraries log (LOGGING_CONFIG)."""
    structlog.configure(
        processors=[*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    # Our lines name no thread, process or line of code, so that nothing of this is looked up for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # type: ignore[attr-defined]  # as Python's documentation advises
    last: list[Any]
    if wanted["format"] == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structlog": {
                    "()": Formatter,
                    "foreign_pre_chain": _SHARED,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structlog"}},
            "root": {"handlers": ["stderr"], "level": wanted["level"]},
            "loggers": {
                # Our access log has one line per request; these would add another for every 4xx.
                "django.request": {"level": "ERROR"},
                "django.security.DisallowedHost": {"level": "CRITICAL"},
                "django.security.TooManyFieldsSent": {"level": "CRITICAL"},
                "django.channels.server": {"level": "WARNING"},
                "daphne": {"level": "WARNING"},
                "uvicorn.access": {"level": "CRITICAL"},
                "uvicorn.error": {"level": "WARNING"},
                # At DEBUG these log frames and headers, which contain tokens.
                "websockets": {"level": "INFO"},
                "asyncio": {"level": "INFO"},
                # Warns at each attempt; an outage of the database is logged once (common/postgresql/monitor.py).
                "psycopg.pool": {"level": "CRITICAL"},
                "django_tasks": {"level": "WARNING"},  # common.tasks has its own line
            },
        }
    )
