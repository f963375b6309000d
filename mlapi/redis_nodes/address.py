"""Reads `MLAPI_REDIS_URL`: which form of Redis, where, and as whom."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

Form: TypeAlias = Literal["standalone", "sentinel", "cluster"]
HostPort: TypeAlias = tuple[str, int]

_SCHEMES: Final[dict[str, tuple[Form, bool]]] = {
    "redis": ("standalone", False),
    "rediss": ("standalone", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_PORTS: Final[dict[Form, int]] = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}
_PLAIN_OPTIONS: Final = frozenset({"db", "client_name", "socket_keepalive", "socket_timeout", "socket_connect_timeout"})
_TLS_OPTIONS: Final = frozenset(
    {
        *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs"),
        *("ssl_check_hostname", "ssl_ciphers", "ssl_min_version"),
        *("ssl_include_verify_flags", "ssl_exclude_verify_flags"),
    }
)
SHAPE: Final = (
    "must be empty, or a URL like redis://user:password@host:6379/0, redis+sentinel://user:password@host1,host2/primary"
    " or redis+cluster://user:password@host1,host2, each with rediss for TLS"
)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, as one URL says it.

    Attributes:
        form: what answers at the hosts.
        tls: whether connections are encrypted.
        hosts: servers, Sentinels, or some nodes of the cluster, each with its port.
        primary: the name by which Sentinels know it.
        user: who asks; empty: Redis's default user.
        password: as the URL has it; empty: none, or one from a file.
        database: its number.
        options: options of redis-py for each connection, in its words.
    """

    form: Form
    tls: bool
    hosts: tuple[HostPort, ...]
    primary: str
    user: str
    password: str
    database: int
    options: tuple[tuple[str, str], ...]

    @property
    def place(self) -> str:
        """The hosts as one reads them, without a secret."""
        return ",".join(shown(host, port) for host, port in self.hosts)


@dataclass(frozen=True, slots=True)
class RedisFiles:
    """Files with what lets us in, each read anew whenever a connection is made; None where there is none.

    Attributes:
        password: of the user.
        authority: certificates that sign those of the servers.
        certificate: our own, for a server that asks for one.
        key: the private key of our own; None: in the same file.
        sentinel_password: of the Sentinels, if they ask for one.
    """

    password: Path | None = None
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    sentinel_password: Path | None = None


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """All that is needed to reach Redis.

    Attributes:
        address: where it is.
        files: what lets us in.
        sentinel_user: who asks the Sentinels.
    """

    address: RedisAddress
    files: RedisFiles = RedisFiles()
    sentinel_user: str = ""


def shown(host: str, port: int) -> str:
    """Return a host and its port as one reads them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_address(url: str) -> RedisAddress:
    """Read a URL.

    Raises:
        ValueError: it is none of ours; the message does not repeat it, for it may hold a password.
    """
    try:
        return _read(url)
    except _ShapeError:
        raise
    except ValueError:
        # What the parser says may quote a part of the password.
        raise ValueError(SHAPE) from None


class _ShapeError(ValueError):
    """One whose words are ours."""


def _read(url: str) -> RedisAddress:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError
    form, tls = _SCHEMES[scheme]
    parts = urlsplit(f"redis://{rest}")
    if parts.fragment or "#" in url:
        raise ValueError
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    hosts = tuple(_host(place, _PORTS[form], alone=places == place) for place in places.split(","))
    if form == "standalone" and len(hosts) > 1:
        msg = "several hosts are Sentinels (redis+sentinel://) or nodes of a cluster (redis+cluster://)"
        raise _ShapeError(msg)
    path = unquote(parts.path).strip("/")
    primary = ""
    if form == "sentinel":
        primary, _, path = path.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", primary):
            msg = "after the Sentinels stands the name of the primary: redis+sentinel://host1,host2/primary"
            raise _ShapeError(msg)
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    _check_options(options, tls=tls)
    database = int(options.pop("db", "") or path or "0")
    if database < 0 or (form == "cluster" and database):
        msg = "a Redis Cluster has only database 0" if form == "cluster" else "a database has a number from 0"
        raise _ShapeError(msg)
    return RedisAddress(
        form, tls, hosts, primary, unquote(user), unquote(password), database, tuple(sorted(options.items()))
    )


def _host(place: str, port: int, *, alone: bool) -> HostPort:
    parts = urlsplit(f"redis://{place}")
    host = unquote(parts.hostname or "")
    if parts.path or parts.query or "@" in parts.netloc or (not host and (place or not alone)):
        raise ValueError
    return host or "localhost", parts.port or port


def _check_options(options: dict[str, str], *, tls: bool) -> None:
    known = _PLAIN_OPTIONS | _TLS_OPTIONS
    for name in options:
        if name not in known:
            msg = f"{name!r} is not an option of a Redis URL; there are {', '.join(sorted(known))}"
            raise _ShapeError(msg)
        if name in _TLS_OPTIONS and not tls:
            msg = f"{name} needs TLS: rediss instead of redis"
            raise _ShapeError(msg)
