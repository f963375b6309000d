"""Knows which paths belong to which wire format: for the form of refusals there, and for versions in paths."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from mlapi.api.served_model import ServedModel
from mlapi.dialects.base import Refusal, WireFormat
from mlapi.dialects.problems import problem
from mlapi.errors import MlapiError, NotFoundError

_MODEL: Final = re.compile(r"/v[12]/models/([^/:]{1,100})")
_VERSIONED: Final = re.compile(r"(.*/v2/models/([^/]+))/versions/([0-9a-f]{12,32})(/ready|/infer|)")

_Refuse: TypeAlias = Callable[[MlapiError, str], Refusal]


class Families:
    """The paths of all wire formats, below the models' roots and at the root of the process."""

    def __init__(self, formats: Iterable[WireFormat], served: Sequence[ServedModel]) -> None:
        owned: dict[str, _Refuse] = {}
        for item in formats:
            roots = [model.root for model in served] if item.below_models else []
            for root in [*roots, *([""] if item.at_root else [])]:
                owned |= {f"{root}/{own}": item.refuse for own in item.owns}
        self._owned = sorted(owned.items(), key=lambda item: -len(item[0]))
        self._served = {model.name: model for model in served}

    def refuse(self, path: str, error: MlapiError, request_id: str) -> Refusal:
        """Write a refusal of a request for this path as its family does; a problem document for all other paths."""
        for own, refuse in self._owned:
            if path.startswith(own) and path[len(own) : len(own) + 1] in {"", "/"}:
                return refuse(error, request_id)
        return problem(error, request_id)

    def missing(self, path: str) -> NotFoundError:
        """Say that there is no such route, or which model it is that is not there."""
        found = _MODEL.search(path)
        if found and found[1] not in self._served:
            return NotFoundError(f"the model {found[1]} does not exist here")
        if found and "/versions/" in path:
            return NotFoundError(f"the model {found[1]} is not served in this version here")
        return NotFoundError("there is no such route")

    def unversioned(self, path: str) -> str:
        """Return the path without the version of the model in it, if that is the one that is served.

        A version is the model digest, or the first 12 or more digits of it.
        """
        found = _VERSIONED.fullmatch(path)
        if found and (served := self._served.get(found[2])) and served.loaded.info.digest.startswith(found[3]):
            return found[1] + found[4]
        return path
