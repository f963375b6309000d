"""Asks for an API key on all paths but the cluster's own and the pages; prediction routes ask for theirs."""

from collections.abc import Iterable, Sequence
from typing import Final

from starlette.types import Scope

from mlapi.access.gate import Gate
from mlapi.api.cross_origin import CrossOrigin, is_preflight

OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
"""No gateway routes these, and network policies say who reaches them."""


class Doors:
    """Every other path has one, a path that leads nowhere too: who has no key is not told what there is."""

    def __init__(
        self,
        gate: Gate,
        models: Sequence[tuple[str, str]],
        cross_origin: CrossOrigin | None,
        *,
        pages: Iterable[str] = (),
    ) -> None:
        """Ask for keys.

        Args:
            gate: knows the keys.
            models: roots and names of the models.
            cross_origin: what pages of other origins may do.
            pages: paths that need no key.
        """
        self._gate = gate
        self._open = OPEN_PATHS.union(pages)
        self._preflights = cross_origin is not None
        # Of two roots that fit, such as /a and /a/b, the longer one is meant.
        self._models = sorted(models, key=lambda item: -len(item[0]))

    def enter(self, scope: Scope) -> None:
        """Let a request in.

        Raises:
            UnauthorizedError: no key, or none that is valid.
            ForbiddenError: the key is not for the model whose path this is.
        """
        path = scope["path"]
        if path in self._open or (self._preflights and is_preflight(scope)):
            return
        self._gate.admit(scope["headers"], self._model(path), None)

    def _model(self, path: str) -> str | None:
        for root, name in self._models:
            if path == root or path.startswith(f"{root}/"):
                return name
        return None
