"""Client of the decoder processes: at most two, started when needed, killed on timeout, replaced after a crash."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import structlog

from chat.media.types import MediaType

log = structlog.get_logger(__name__)

DECODERS = 2
PROBE_SECONDS, INLINE_SECONDS, TASK_SECONDS = 5.0, 5.0, 90.0
_ROOT = str(Path(__file__).resolve().parents[2])


class Undecodable(Exception):
    """The file does not decode as the claimed type within the limits."""


class Busy(Exception):
    """No decoder is free."""


class _Decoder:
    """One decoder process. Used by one thread at a time."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any], within_s: float) -> dict[str, Any]:
        line = json.dumps(request).encode() + b"\n"
        for is_last in (False, True):
            process = self._running()
            try:
                assert process.stdin is not None  # noqa: S101
                process.stdin.write(line)
                process.stdin.flush()
            except OSError:  # it has just exited because it was idle
                self._end()
                if is_last:
                    raise
                continue
            answer = self._read(process, within_s)
            # No answer from an idle process: it exited before it read the request.
            if answer is None and not is_last and process.wait(5) == 0:
                self._end()
                continue
            if not answer:
                self._end()
                raise Undecodable("crashed" if answer is None else "too slow")
            return json.loads(answer)
        raise Undecodable("crashed")

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            self._end()
            environment = {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "PYTHONPATH": _ROOT}
            self.process = subprocess.Popen(
                [sys.executable, "-m", "chat.media.decoder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,  # without our secrets
                cwd=_ROOT,
                start_new_session=True,  # not affected by signals to the server's process group
            )
        return self.process

    def _read(self, process: subprocess.Popen[bytes], within_s: float) -> bytes | None:
        """Return its answer; empty on timeout, None if the process exited."""
        assert process.stdout is not None  # noqa: S101
        until, data = time.monotonic() + within_s, b""
        while not data.endswith(b"\n"):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return b""
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                return None
            data += piece
        return data

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self.process = None


_free = [_Decoder() for _ in range(DECODERS)]
_changed = threading.Condition()


def _ask(request: dict[str, Any], within_s: float, wait_s: float) -> dict[str, Any]:
    with _changed:
        if not _changed.wait_for(lambda: bool(_free), wait_s):
            raise Busy
        decoder = _free.pop()
    try:
        answer = decoder.ask(request, within_s)
    except Undecodable as error:
        log.warning("media.decoder", do=request["do"], format=request["format"], reason=str(error))
        raise
    finally:
        with _changed:
            _free.append(decoder)
            _changed.notify()
    if "refused" in answer:
        raise Undecodable(answer["refused"])
    return answer


def probe(path: str, claimed: MediaType) -> dict[str, Any]:
    """Return header data: width, height, frames of an image; kind, duration_ms, width, height of a recording.

    Raises Undecodable, Busy.
    """
    return _ask({"do": "probe", "path": path, "kind": claimed.kind, "format": claimed.format}, PROBE_SECONDS, 2.0)


def decode(path: str, claimed: MediaType, out: str, *, within_s: float, wait_s: float) -> dict[str, Any]:
    """Decode the whole file into the folder `out`: `content` (unless "same") and, for pictures, `thumbnail`.

    Raises Undecodable, Busy.
    """
    return _ask({"do": claimed.kind, "path": path, "format": claimed.format, "out": out}, within_s, wait_s)
