"""Amounts as Kubernetes and Redis write them."""

import re
from collections.abc import Mapping
from typing import Final

_KUBERNETES: Final = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_REDIS: Final = {"": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}


def quantity(text: str | float) -> float:
    """Read processors or bytes as Kubernetes writes them, such as 400m or 512Mi."""
    return _read(str(text), _KUBERNETES)


def redis_bytes(text: str) -> float:
    """Read bytes as redis.conf writes them, such as 64mb."""
    return _read(text.lower(), _REDIS)


def _read(text: str, units: Mapping[str, float]) -> float:
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    assert found is not None, text
    return float(found[1]) * units[found[2]]
