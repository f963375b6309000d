"""Reads the file of API keys anew whenever it changes; a broken file leaves the keys as they were."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeAlias

from mlapi.access.gate import Gate
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import read_keys
from mlapi.errors import ConfigurationError
from mlapi.observability.metrics import Metrics

_log = logging.getLogger(__name__)

CHECK_S: Final = 0.5

_Version: TypeAlias = tuple[int, int, int]


class WatchedKeysFile:
    """The file, and the gate that follows it."""

    def __init__(self, path: Path, gate: Gate, metrics: Metrics) -> None:
        """Take the parts; nothing is read yet."""
        self._path = path
        self._gate = gate
        self._stale = metrics.keys_file_stale
        self._version: _Version | None = None
        self._fault = ""

    def open(self) -> Keyring:
        """Read the file for the first time.

        Raises:
            ConfigurationError: it cannot be read, or is no such file.
        """
        # The version is looked up first: what is written after that makes it be read again.
        self._version = self._look()
        try:
            keyring = Keyring(read_keys(self._path.read_bytes()))
        except OSError as error:
            msg = f"MLAPI_KEYS_FILE={self._path}: {error.strerror}"
            raise ConfigurationError(msg) from error
        except ConfigurationError as error:
            msg = f"MLAPI_KEYS_FILE={self._path}: {error.detail}"
            raise ConfigurationError(msg) from None
        self._gate.admit_only(keyring)
        return keyring

    async def watch(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look after it, for ever."""
        while True:
            await sleep(CHECK_S)
            await self.check()

    async def check(self) -> None:
        """Take over what has changed. A file that is gone or broken leaves the keys as they were, and says so once."""
        try:
            keyring = await asyncio.to_thread(self._changed)
        except (OSError, ConfigurationError) as error:
            fault = error.detail if isinstance(error, ConfigurationError) else str(error.strerror)
            self._stale.set(1)
            if fault != self._fault:
                self._fault = fault
                _log.error("the keys file cannot be used, the keys stay as they were: %s", fault)
            return
        self._stale.set(0)
        self._fault = ""
        if keyring is not None:
            self._gate.admit_only(keyring)
            _log.info("read the keys file anew", extra={"keys": len(keyring)})

    def _look(self) -> _Version | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  follows the links by which Kubernetes swaps a Secret's files
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _changed(self) -> Keyring | None:
        """Return the keys if the file is another than the one that is in use; in a thread, for disks may be slow."""
        version = self._look()
        if version is not None and version == self._version:
            return None
        keyring = Keyring(read_keys(self._path.read_bytes()))
        self._version = version
        return keyring


def follow(path: Path, gate: Gate, metrics: Metrics, served: AbstractSet[str], stack: AsyncExitStack) -> None:
    """Read the API keys and look after their file, in the running event loop; `stack` ends that.

    Raises:
        ConfigurationError: the file cannot be read, or is no such file.
    """
    file = WatchedKeysFile(path, gate, metrics)
    keyring = file.open()
    _log.info(
        "only API keys are let in", extra={"keys": len(keyring), "models_not_here": sorted(keyring.models - served)}
    )
    watching = asyncio.create_task(file.watch())
    stack.callback(watching.cancel)
