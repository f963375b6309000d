"""A keys file of a test, and the headers that carry its keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlapi.access.key_text import ApiKey, make_key
from mlapi.access.keys_file import KeyRecord, read_keys, write_keys


class KeysFile:
    """A file of keys, written anew whole with each change."""

    def __init__(self, folder: Path) -> None:
        """Put a file without keys into a folder."""
        self.path = folder / "keys.json"
        self._records: dict[str, KeyRecord] = {}
        self._write()

    def add(self, name: str, **fields: Any) -> ApiKey:  # noqa: ANN401  the record's
        """Add a key."""
        key = make_key()
        return self._put(key, {"id": key.id, "name": name} | fields, [])

    def rotate(self, key: ApiKey) -> ApiKey:
        """Give a key a second secret."""
        record = self._records[key.id]
        return self._put(make_key(key.id), msgspec.to_builtins(record), record.sha256[-1:])

    def retire(self, key: ApiKey) -> None:
        """Take the older secret of a key away."""
        record = self._records[key.id]
        self._records[key.id] = msgspec.structs.replace(record, sha256=record.sha256[-1:])
        self._write()

    def remove(self, key: ApiKey) -> None:
        """Take a key away."""
        del self._records[key.id]
        self._write()

    def _put(self, key: ApiKey, fields: dict[str, Any], older: Sequence[str]) -> ApiKey:
        self._records[key.id] = msgspec.convert(fields | {"sha256": [*older, key.digest.hex()]}, KeyRecord)
        self._write()
        return key

    def _write(self) -> None:
        content = write_keys([*self._records.values()])
        assert len(read_keys(content)) == len(self._records)
        new = self.path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(self.path)


def bearer(key: ApiKey) -> dict[str, str]:
    """Return the header that carries a key."""
    return {"authorization": f"Bearer {key}"}
