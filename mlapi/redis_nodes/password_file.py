"""A password from a file, read each time that a connection is made: a new one needs no restart."""

import asyncio
from pathlib import Path
from typing import Final

from redis.credentials import CredentialProvider

from mlapi.errors import ConfigurationError
from mlapi.redis_nodes.file_faults import FileFaults

_MAX_BYTES: Final = 16 * 1024


class PasswordFile(CredentialProvider):
    """What redis-py asks for the user and the password."""

    def __init__(self, path: Path, user: str, faults: FileFaults) -> None:
        """Read the file for the first time; an empty `user` is Redis's default user.

        Raises:
            ConfigurationError: it cannot be read, or holds no password.
        """
        self._path = path
        self._user = user
        self._faults = faults
        self._password = _read(path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Return what to authenticate with: the file's, or while it cannot be read what it said before."""
        try:
            self._password = _read(self._path)
        except ConfigurationError as error:
            self._faults.bad(self._path, error.detail)
        else:
            self._faults.good(self._path)
        return (self._user, self._password) if self._user else (self._password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """Do the same in a thread, for disks may be slow."""
        return await asyncio.to_thread(self.get_credentials)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        password = content.decode().rstrip("\r\n")
    except OSError as error:
        problem = error.strerror
    except UnicodeDecodeError:
        problem = "not UTF-8"
    else:
        if password and len(content) <= _MAX_BYTES:
            return password
        problem = "too long for a password" if password else "no password in it"
    msg = f"{path}: {problem}"
    raise ConfigurationError(msg)
