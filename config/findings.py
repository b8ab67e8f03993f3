"""What `manage.py doctor` says of one thing that it looked at."""

from dataclasses import dataclass

WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """`state`: "ok", "warning" or "error"; `advice`: what to do, "" where all is well."""

    subject: str
    state: str
    said: str
    advice: str = ""


def ok(subject: str, said: str) -> Finding:
    return Finding(subject, "ok", said)
