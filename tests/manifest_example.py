"""A manifest for bundles that only tests have."""

from collections.abc import Mapping
from typing import Any

from mlapi.bundles.manifest import SCHEMA, FileEntry, Manifest, Provenance


def manifest_of(files: Mapping[str, FileEntry], **others: Any) -> Manifest:  # noqa: ANN401  fields of any type
    """Return a manifest of these files, with `others` in the place of what is said here."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "labels": ("NEGATIVE", "POSITIVE"),
        "activation": "softmax",
        "max_tokens": 512,
        "pad_id": 0,
        "engine": "openvino",
        "precision": "int8",
        "provenance": Provenance("source", "revision", "Apache-2.0", {}),
    }
    return Manifest(schema=SCHEMA, files=dict(files), **fields | others)
