"""Reads and writes the file of API keys: JSON, with hashes in the place of secrets."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from mlapi.access.key_text import ID
from mlapi.access.quota import Quota
from mlapi.errors import ConfigurationError

Scope: TypeAlias = Literal["predict", "explain", "feedback", "admin"]

ALL_MODELS: Final = "*"
MAX_KEYS: Final = 10_000
"""Each key has series of its own in the metrics."""

_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Model = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9._~-]+|\*)$")]


class KeyRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the file says of one key.

    Attributes:
        id: names the key in logs and metrics.
        sha256: SHA-256 of its secret in hexadecimal digits; two while one secret takes the place of another.
        name: who has it, for people.
        models: the models that it may ask, by the names that they are served under; `*` for all.
        scopes: what it may do with them.
        expires: when it ends.
        quota: how much it may ask for; None: as much as it likes.
    """

    id: Annotated[str, msgspec.Meta(pattern=f"^{ID}$")]
    sha256: Annotated[tuple[_Hash, ...], msgspec.Meta(min_length=1, max_length=2)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    models: Annotated[tuple[_Model, ...], msgspec.Meta(min_length=1)] = (ALL_MODELS,)
    scopes: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)] = ("predict",)
    expires: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    quota: Quota | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[KeyRecord]


_DECODER: Final = msgspec.json.Decoder(_File)


def read_keys(content: bytes) -> tuple[KeyRecord, ...]:
    """Read a file's content.

    Raises:
        ConfigurationError: it is no such file. What it says quotes nothing from the file but ids.
    """
    try:
        keys = _DECODER.decode(content).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(str(error)) from None
    twice = sorted(key_id for key_id, count in Counter(key.id for key in keys).items() if count > 1)
    if twice:
        msg = f"two keys have the id {twice[0]}"
        raise ConfigurationError(msg)
    if len(keys) > MAX_KEYS:
        msg = f"it has {len(keys)} keys; {MAX_KEYS} are read"
        raise ConfigurationError(msg)
    return tuple(keys)


def write_keys(keys: Sequence[KeyRecord]) -> bytes:
    """Return the content of a file that holds these keys."""
    return msgspec.json.format(msgspec.json.encode({"keys": keys}), indent=2) + b"\n"
