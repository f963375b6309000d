"""Reads the corpus of hostile requests: files whose names begin with the status that each is answered with.

`http/` holds whole requests as bytes; those of status 000 are parts of one, after which the connection is closed
without an answer. The other folders hold bodies for the wire format that they are named after. `@KEY@` stands for an
API key. `python -m soak.fuzz` adds to it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soak.wire import post
from tests.e2e.dialects import DIALECTS

CORPUS: Final = Path(__file__).with_name("corpus")
HTTP: Final = "http"
KEY: Final = b"@KEY@"
_ROOT: Final = "/project"


def folder_of(dialect: str) -> str:
    """Return the name of the folder with bodies of a wire format."""
    return dialect.lower().replace(",", "").replace(" ", "-")


FORMATS: Final = {folder_of(name): dialect for name, dialect in DIALECTS.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file.

    Attributes:
        name: its folder and name.
        kind: its folder.
        status: what it is answered with; 0: nothing.
        data: what it holds.
    """

    name: str
    kind: str
    status: int
    data: bytes

    @property
    def ends(self) -> bool:
        """Whether nothing more is sent after it."""
        return self.status == 0

    def request(self, headers: Mapping[str, str]) -> bytes:
        """Return the bytes to send, with the headers that carry a key."""
        return request_of(self.kind, self.data, headers)


def request_of(kind: str, data: bytes, headers: Mapping[str, str]) -> bytes:
    """Return the bytes to send for the content of a file in a folder."""
    if kind == HTTP:
        return data.replace(KEY, headers.get("authorization", "none").removeprefix("Bearer ").encode())
    dialect = FORMATS[kind]
    path = dialect.paths[0].format(root=_ROOT, name=_ROOT[1:])
    fields = {"content-type": "application/json"} | dict(dialect.headers) | dict(headers)
    if "inference-header-content-length" in fields:
        fields["inference-header-content-length"] = str(data.find(b"}]}") + 3)
    return post(path, data, fields)


def read_corpus(folder: Path = CORPUS) -> list[Entry]:
    """Return all entries.

    Raises:
        ValueError: there are none, or a file has no status.
    """
    entries = [
        Entry(f"{path.parent.name}/{path.name}", path.parent.name, int(path.name[:3]), path.read_bytes())
        for path in sorted(folder.glob("*/*"))
    ]
    if not entries:
        msg = f"{folder} holds no requests"
        raise ValueError(msg)
    return entries
