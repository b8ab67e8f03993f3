"""A small network of our own: one bridge, and a network namespace for each host, which can be cut off, lossy or slow.

`inside(COMMAND)` runs COMMAND in fresh network, process and mount namespaces. The kernel removes all of it, with every
process in it, when COMMAND ends or the process that called `inside` does, whatever the reason; names of hosts are
private to a run. Needs root and Linux.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
NETNS = Path("/run/netns")
SWITCH = "switch"
SUBNET = "10.99.0"
SBIN = "/usr/sbin:/sbin"
UNSHARE = ("unshare", "--net", "--pid", "--mount", "--fork", "--kill-child=SIGKILL", "--mount-proc")


class NotHere(Exception):
    """This machine cannot make the network; the text says why."""


def inside(command: Sequence[str]) -> int:
    """Run the command in namespaces of its own and return its exit code. Raises NotHere."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotHere("network namespaces need root on Linux")
    try:
        subprocess.run([*UNSHARE, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NotHere(f"no namespaces: {getattr(error, 'stderr', '') or error}") from None
    with tempfile.TemporaryDirectory(prefix="alviar-cluster-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL has a user of its own
        return _watched(command, {**os.environ, "PATH": f"{os.environ['PATH']}:{SBIN}", "TMPDIR": folder})


def _watched(command: Sequence[str], environment: dict[str, str]) -> int:
    with subprocess.Popen([*UNSHARE, *command], env=environment) as running:
        # SIGKILL to `unshare` ends the first process of the namespace, and the kernel all others with it.
        signal.signal(signal.SIGTERM, lambda *_: running.kill())
        try:
            return running.wait()
        except BaseException:
            running.kill()
            raise


def ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def enter(name: str) -> None:
    """Move this thread, and those it will start, into the host's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (NETNS / name).open() as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise RuntimeError(f"setns: {os.strerror(ctypes.get_errno())}")


def build(*private: Path) -> None:
    """Make the bridge. Call once, inside the namespaces of `inside`. `private`: folders of which we get empty ones.

    Raises NotHere if anything is missing that hosts or faults need.
    """
    missing = [name for name in ("ip", "nft", "ss", "sysctl") if not shutil.which(name)]
    if missing:
        raise NotHere(f"no {', '.join(missing)} (Debian: apt-get install iproute2 nftables procps)")
    try:
        _build(private)
        Host("trial", 99, slow=True).lose(30)
    except (OSError, RuntimeError) as error:
        raise NotHere(str(error)) from error


def _build(private: Sequence[Path]) -> None:
    for folder in (NETNS, *private):  # /run/netns: so that `ip netns` names ours alone
        folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "none", str(folder))
    ip("netns", "add", SWITCH)
    ip("-n", SWITCH, "link", "add", "bridge0", "type", "bridge")
    ip("-n", SWITCH, "link", "set", "bridge0", "up")


class Host:
    """A host on the bridge. `slow`: its cable is `slow_link.py`, which can delay what passes."""

    def __init__(self, name: str, number: int, *, slow: bool = False) -> None:
        self.name, self.address = name, f"{SUBNET}.{number}"
        self.enter = ("ip", "netns", "exec", name)
        self.cable: subprocess.Popen[str] | None = None
        ip("netns", "add", name)
        if slow:
            command = [sys.executable, "-m", "tests.cluster.slow_link", name, f"to-{name}"]
            self.cable = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert self.cable.stdout is not None
            if self.cable.stdout.readline() != "ready\n":
                raise RuntimeError("no TAP device (/dev/net/tun)")
        else:
            ip("-n", SWITCH, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", SWITCH, "link", "set", f"to-{name}", "master", "bridge0", "up")
        ip("-n", name, "address", "add", f"{self.address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        _run(*self.enter, "sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=10000 65000", "net.core.somaxconn=16384")

    # --- Its processes ------------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        return [int(word) for word in _run("ip", "netns", "pids", self.name).split()]

    def signal(self, number: signal.Signals) -> None:
        """Signal everything that runs on the host."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def hang(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    # --- Its cable ----------------------------------------------------------------------------------------------------

    def cut(self, other: "Host | None" = None) -> None:
        """Drop all packets in both directions, or only those to and from `other`. Neither side is told."""
        there = (
            (f"ip saddr {other.address}", f"ip daddr {other.address}") if other else ("iifname != lo", "oifname != lo")
        )
        self._filter(f"{there[0]} drop", f"{there[1]} drop")

    def lose(self, percent: int) -> None:
        """Drop so many of the packets that come, and of those that go."""
        rule = f"meta l4proto tcp numgen random mod 100 < {percent} drop"
        self._filter(f"iifname != lo {rule}", f"oifname != lo {rule}")

    def half_open(self) -> int:
        """Drop all packets of the connections that there are now; new ones work. Return how many connections."""
        lines = _run(*self.enter, "ss", "-Htn", "state", "established").splitlines()
        ends = [[end.rsplit(":", 1) for end in line.split()[2:4]] for line in lines]
        dead = [(mine[1], there[0].strip("[]").removeprefix("::ffff:"), there[1]) for mine, there in ends]
        dead = [entry for entry in dead if entry[1].startswith(SUBNET)]
        if dead:
            entries = ", ".join(f"{mine} . {there} . {port}" for mine, there, port in dead)
            self._filter(
                "tcp dport . ip saddr . tcp sport @dead drop",
                "tcp sport . ip daddr . tcp dport @dead drop",
                f"set dead {{ type inet_service . ipv4_addr . inet_service; elements = {{ {entries} }}; }}",
            )
        return len(dead)

    def heal(self) -> None:
        """Undo `cut`, `lose`, `half_open` and `delay`."""
        self._filter("accept", "accept")
        if self.cable:
            self.delay(0)

    def delay(self, ms: int) -> None:
        """Let every packet that comes or goes take so much longer."""
        assert self.cable is not None, f"{self.name} has no slow link"
        assert self.cable.stdin is not None
        self.cable.stdin.write(f"{ms}\n")
        self.cable.stdin.flush()

    def _filter(self, incoming: str, outgoing: str, more: str = "") -> None:
        rules = (
            "table inet faults\ndelete table inet faults\n"
            f"table inet faults {{ {more}\n"
            f"chain incoming {{ type filter hook input priority 0; {incoming}; }}\n"
            f"chain outgoing {{ type filter hook output priority 0; {outgoing}; }}\n}}"
        )
        _run(*self.enter, "nft", "-f", "-", text=rules)
