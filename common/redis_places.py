"""Addresses of Redis or Valkey: one server, a cluster, or a master that Sentinels name.

    redis://host:6379/0
    redis+cluster://user:password@a:6379,b:6379,c:6379
    redis+sentinel://user:password@a:26379,b:26379,c:26379/mymaster/0?sentinel_password=…

`rediss…://` is the same with TLS. Several single servers stand in `REDIS_URL` with commas between them.
"""

import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

PORTS = {"cluster": 6379, "sentinel": 26379}
SENTINEL_OPTIONS = {"sentinel_username", "sentinel_password"}


@dataclass(frozen=True)
class Place:
    """`nodes` are members of the cluster, or Sentinels, to ask first. `master` and `db` are for Sentinel alone."""

    kind: str  # cluster or sentinel
    nodes: tuple[tuple[str, int], ...]
    is_tls: bool = False
    username: str = ""
    password: str = ""
    master: str = ""
    db: int = 0
    sentinel_username: str = ""
    sentinel_password: str = ""

    @property
    def login(self) -> dict[str, Any]:
        """The options of a connection to a server that holds data."""
        return _login(self.username, self.password) | ({"db": self.db} if self.db else {})

    @property
    def sentinel_login(self) -> dict[str, Any]:
        return _login(self.sentinel_username, self.sentinel_password)


def split(text: str) -> list[str]:
    """Return the addresses in `REDIS_URL`; a cluster or Sentinel is one, whatever the number of its nodes."""
    if kind_of(text) != "single":
        return [text.strip()]
    return [url.strip() for url in text.split(",") if url.strip()]


def kind_of(url: str) -> str:
    scheme = url.strip().partition("://")[0]
    return scheme.partition("+")[2] if scheme in {f"redis{s}+{kind}" for s in ("", "s") for kind in PORTS} else "single"


def parse(url: str) -> Place:
    """Return the place of a cluster or of Sentinels. Raises ValueError: a readable sentence."""
    kind = kind_of(url)
    scheme, _, rest = url.strip().partition("://")
    rest, _, query = rest.partition("?")
    authority, *path = rest.rstrip("/").split("/")
    login, _, hosts = authority.rpartition("@")
    username, _, password = login.partition(":")
    options = {name: values[-1] for name, values in parse_qs(query, strict_parsing=True).items()} if query else {}
    if options.keys() - (SENTINEL_OPTIONS if kind == "sentinel" else set()):
        raise ValueError(f"It has options that {kind} does not know.")
    nodes = tuple(_node(host, PORTS[kind]) for host in hosts.split(",") if host.strip())
    if not nodes:
        raise ValueError("It names no host.")
    if kind == "cluster" and path:
        raise ValueError("A cluster has no databases: nothing may follow its hosts.")
    if kind == "sentinel" and (not path or not path[0] or len(path) > 2 or not all(p.isdigit() for p in path[1:])):
        raise ValueError("The name of the master must follow the hosts: redis+sentinel://a:26379,b:26379/mymaster.")
    return Place(
        kind,
        nodes,
        is_tls=scheme.startswith("rediss"),
        username=unquote(username),
        password=unquote(password),
        master=unquote(path[0]) if path else "",
        db=int(path[1]) if len(path) > 1 else 0,
        **options,
    )


def client(url: str, *, timeout_s: float) -> Any:
    """Return the process's blocking client, which finds the primary or the master by itself, and may be shared."""
    with _making:
        if (url, timeout_s) not in _clients:
            _clients[url, timeout_s] = _client(url, {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s})
        return _clients[url, timeout_s]


_clients: dict[tuple[str, float], Any] = {}
_making = threading.Lock()


def _client(url: str, limits: dict[str, Any]) -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.retry import Retry
    from redis.sentinel import Sentinel

    if kind_of(url) == "single":
        return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **limits)
    place = parse(url)
    options = limits | ({"ssl": True} if place.is_tls else {})
    if place.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in place.nodes]
        once = Retry(NoBackoff(), 1)  # with the map of slots read anew
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, retry=once, **place.login, **options)
    sentinel = Sentinel(list(place.nodes), sentinel_kwargs=place.sentinel_login | options)
    return sentinel.master_for(place.master, retry=Retry(NoBackoff(), 0), **place.login, **options)


def address(place: Place, host: str, port: int) -> str:
    """Return the URL of one server of the place, for a single connection."""
    return f"redis{'s' if place.is_tls else ''}://{f'[{host}]' if ':' in host else host}:{port}"


def _login(username: str, password: str) -> dict[str, Any]:
    return ({"username": username} if username else {}) | ({"password": password} if password else {})


def _node(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or text.strip().endswith("]"):
        host, port = text.strip(), str(default)
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text.strip()!r} is no host:port.")
    return host.strip("[]"), int(port)
