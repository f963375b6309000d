"""Encrypted connections whose certificates come from files, read again when they have changed: no restart.

redis-py reads them once a connection object, and keeps what it read however often that connects again.
"""

import asyncio
import os
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from redis.asyncio.connection import RedisSSLContext, SSLConnection

from mlapi.errors import ConfigurationError
from mlapi.redis_nodes.file_faults import FileFaults

_Version: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class TlsFiles:
    """The certificates of all connections of a pool, and what was made of them."""

    def __init__(self, faults: FileFaults) -> None:
        """Take where faults are shown; nothing is read yet."""
        self._faults = faults
        self._lock = threading.Lock()
        self._version: _Version = ()
        self._context: ssl.SSLContext | None = None

    def context(self, wanted: RedisSSLContext) -> ssl.SSLContext:
        """Return what to encrypt with; files that cannot be used leave it as it was.

        Raises:
            ConfigurationError: the files cannot be used, and never could.
        """
        paths = [Path(path) for path in (wanted.ca_certs, wanted.certfile, wanted.keyfile) if path]
        with self._lock:
            # The version is looked up first: what is written after that makes the files be read again.
            version = tuple(map(_look, paths))
            if self._context is not None and version == self._version:
                return self._context
            try:
                context = _build(wanted)
            except (OSError, ValueError) as error:
                said = getattr(error, "strerror", None) or str(error)
                if self._context is None:
                    msg = f"{', '.join(map(str, paths)) or 'the certificates of the system'}: {said}"
                    raise ConfigurationError(msg) from error
                for path in paths:
                    self._faults.bad(path, said)
                return self._context
            self._context, self._version = context, version
            for path in paths:
                self._faults.good(path)
            return context


class TlsConnection(SSLConnection):
    """A connection of redis-py that is encrypted with what `TlsFiles` has now."""

    def __init__(self, *, tls: TlsFiles, **kwargs: Any) -> None:  # noqa: ANN401  redis-py's options
        """Take the files, and redis-py's options."""
        super().__init__(**kwargs)
        self._tls = tls

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self.ssl_context.context}

    async def _connect(self) -> None:
        self.ssl_context.context = await asyncio.to_thread(self._tls.context, self.ssl_context)
        await super()._connect()  # type: ignore[no-untyped-call]


def _look(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  follows the links by which Kubernetes swaps a Secret's files
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _build(wanted: RedisSSLContext) -> ssl.SSLContext:
    """Do what redis-py does, except that authorities that are named replace those of the system."""
    # Without a name for an authority the system's are loaded.
    context = ssl.create_default_context(cafile=wanted.ca_certs, capath=wanted.ca_path, cadata=wanted.ca_data)
    context.check_hostname = wanted.check_hostname
    context.verify_mode = wanted.cert_reqs
    for flag in wanted.include_verify_flags or ():
        context.verify_flags |= flag
    for flag in wanted.exclude_verify_flags or ():
        context.verify_flags &= ~flag
    if wanted.certfile:
        # A key that asks for a passphrase on a terminal would hold up everything.
        context.load_cert_chain(wanted.certfile, wanted.keyfile, wanted.password or "")
    if wanted.min_version is not None:
        context.minimum_version = wanted.min_version
    if wanted.ciphers is not None:
        context.set_ciphers(wanted.ciphers)
    return context
