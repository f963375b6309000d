"""Lists the layers of a saved image: bytes compressed as for a registry, bytes on disk, digest, and what made them."""

import gzip
import hashlib
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_GZIP_LEVEL = 6
_SHOWN = 72


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image.

    Attributes:
        digest: SHA-256 of the uncompressed layer, as the image's configuration names it.
        compressed: bytes after gzip at its default level.
        size: bytes uncompressed.
        made_by: the instruction that made it.
    """

    digest: str
    compressed: int
    size: int
    made_by: str


def layers(archive: Path) -> Iterator[Layer]:
    """Yield the layers of what `docker save` or `podman save` wrote, the base's first.

    Raises:
        KeyError: the archive is not of that format.
    """
    with tarfile.open(archive) as files:

        def read(name: str) -> bytes:
            member = files.extractfile(name)
            if member is None:
                raise KeyError(name)
            return member.read()

        (manifest,) = json.loads(read("manifest.json"))
        history = json.loads(read(manifest["Config"]))["history"]
        steps = [step.get("created_by", "") for step in history if not step.get("empty_layer")]
        for name, made_by in zip(manifest["Layers"], steps, strict=True):
            content = read(name)
            packed = len(gzip.compress(content, _GZIP_LEVEL))
            yield Layer(hashlib.sha256(content).hexdigest(), packed, len(content), made_by)


def table(found: list[Layer]) -> str:
    """Write layers as people read them, sizes in millions of bytes."""
    rows = [
        f"{layer.compressed / 1e6:10.1f}{layer.size / 1e6:10.1f}  {layer.digest[:12]}  {_instruction(layer.made_by)}"
        for layer in found
    ]
    total = f"{sum(x.compressed for x in found) / 1e6:10.1f}{sum(x.size for x in found) / 1e6:10.1f}  together"
    return "\n".join(["compressed   on disk  layer", *rows, total])


def _instruction(made_by: str) -> str:
    return made_by.partition("#(nop)")[2].strip()[:_SHOWN] or made_by[:_SHOWN]


if __name__ == "__main__":
    sys.stdout.write(table(list(layers(Path(sys.argv[1])))) + "\n")
