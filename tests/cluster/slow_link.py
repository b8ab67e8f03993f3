"""A cable between a host and the bridge that can be slow: `python -m tests.cluster.slow_link HOST PORT`.

Two TAP devices, `eth0` at the host and PORT at the bridge; each line of standard input is the delay in milliseconds of
what passes from now on. For kernels without netem.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

from tests.cluster.network import SWITCH, enter

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_BYTES = 65_536
QUEUE_FRAMES = 20_000  # more than so many under way are dropped, as any cable would


def tap(host: str, name: str) -> int:
    """Make the device in the host's network and return what reads and writes its frames."""
    enter(host)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def main(host: str, port: str) -> None:
    here, there = tap(host, "eth0"), tap(SWITCH, port)
    other = {here: there, there: here}
    under_way: deque[tuple[float, int, bytes]] = deque()  # due at, where to
    delay = 0.0
    os.set_blocking(sys.stdin.fileno(), False)
    print("ready", flush=True)
    while True:
        wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        ready, _, _ = select.select([here, there, sys.stdin], [], [], wait)
        for device in ready:
            if device is sys.stdin:
                lines = os.read(sys.stdin.fileno(), 4096).split()
                if not lines:
                    return
                delay = int(lines[-1]) / 1000
            else:
                _read(device, under_way, time.monotonic() + delay, other[device])
        now = time.monotonic()
        while under_way and under_way[0][0] <= now:
            _, device, frame = under_way.popleft()
            try:
                os.write(device, frame)
            except OSError:  # down, or full
                continue


def _read(device: int, under_way: "deque[tuple[float, int, bytes]]", due_at: float, to: int) -> None:
    """Take the frames that are there. After a shorter delay is set, none overtakes an older one."""
    try:
        for _ in range(64):
            frame = os.read(device, FRAME_BYTES)
            if len(under_way) < QUEUE_FRAMES:
                under_way.append((due_at, to, frame))
    except OSError:
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
