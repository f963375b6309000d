"""The form of an API key, `mlapi_<id>_<secret>`: making one, and taking one apart."""

import re
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

PREFIX: Final = "mlapi_"
"""By which scanners of repositories and logs find a key that leaked."""

ID: Final = r"[a-z0-9]{8}"
_SECRET_BYTES: Final = 32
_ID_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH: Final = 8
_KEY: Final = re.compile(PREFIX.encode() + b"(" + ID.encode() + rb")_([A-Za-z0-9_-]{43})")


class ApiKey(NamedTuple):
    """A key taken apart: the id, which is no secret and is what metrics and logs show, and the secret."""

    id: str
    secret: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the secret: 256 random bits need no slow hash."""
        return sha256(self.secret).digest()

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}_{self.secret.decode()}"

    def __repr__(self) -> str:
        return f"ApiKey({self.id!r}, …)"


def make_key(
    key_id: str = "",
    *,
    token: Callable[[int], str] = secrets.token_urlsafe,
    choose: Callable[[str], str] = secrets.choice,
) -> ApiKey:
    """Make a key with a new secret of 256 bits, and a new id unless one is given."""
    key_id = key_id or "".join(choose(_ID_LETTERS) for _ in range(_ID_LENGTH))
    return ApiKey(key_id, token(_SECRET_BYTES).encode())


def read_key(text: bytes) -> ApiKey | None:
    """Take apart what somebody sent; None if it does not have the form of a key."""
    found = _KEY.fullmatch(text)
    return ApiKey(found[1].decode(), found[2]) if found else None
