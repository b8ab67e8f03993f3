"""Reporting of errors caused by an outage of a store: counted, not logged, since the outage itself is logged once."""

import structlog

from common.errors import from_exception
from common.metrics import STORE_FAILURES

log = structlog.get_logger(__name__)


def is_outage(error: BaseException) -> bool:
    """Return whether the error means that the database or Redis does not answer."""
    known = from_exception(error)
    if known is not None and known.status == 503:
        return True
    return isinstance(error, OSError | TimeoutError) or _is_of_redis(error)


def note(what: str, error: Exception) -> None:
    """Count failed work; log it only if no outage explains it."""
    STORE_FAILURES.labels(what).inc()
    if is_outage(error):
        log.debug(what, error=repr(error))
    else:
        log.warning(what, error=repr(error))


def _is_of_redis(error: BaseException) -> bool:
    bases = type(error).__mro__
    return any(base.__module__.startswith("redis.") or base.__name__ == "CacheAway" for base in bases)
