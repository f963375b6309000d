"""Answers the GET routes of wire formats: what a model is, what the server is, and whether they are ready."""

from collections.abc import Callable, Sequence
from http import HTTPStatus

import msgspec
from starlette.types import Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api.lifecycle import Phase
from mlapi.api.served_model import ServedModel
from mlapi.dialects.base import Document, ModelFacts
from mlapi.errors import DrainingError


class DocumentRoute:
    """One of them, as plain ASGI; the edge around it counts, and writes refusals."""

    def __init__(
        self,
        document: Document,
        served: Sequence[ServedModel],
        facts: Callable[[ServedModel], ModelFacts],
        gate: Gate | None,
    ) -> None:
        """Tell of these models; `facts` collects what may be said of one, `gate` knows who may hear of which."""
        self.document = document
        self._served = served
        self._facts = facts
        self._gate = gate

    @property
    def served(self) -> ServedModel | None:
        """The model that it tells of; None if there are several."""
        return self._served[0] if len(self._served) == 1 else None

    async def __call__(self, scope: Scope, __: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            OverloadedError: the models are still loading.
            DrainingError: the process is stopping.
            UnauthorizedError: no key, or none that is valid.
            ForbiddenError: the key is for none of these models.
        """
        body = self._body(self._allowed(scope))
        headers = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        if body:
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _allowed(self, scope: Scope) -> Sequence[ServedModel]:
        """Return the models that the request's key is for."""
        if self._gate is None:
            return self._served
        grant = self._gate.admit(scope["headers"], None, None)
        allowed = [model for model in self._served if grant.models is None or model.name in grant.models]
        if not allowed:
            self._gate.admit(scope["headers"], self._served[0].name, None)
        return allowed

    def _body(self, served: Sequence[ServedModel]) -> bytes:
        models: list[ModelFacts] = []
        if self.document.ready:
            models += map(self._facts, served)
            if any(model.lifecycle.phase is Phase.DRAINING for model in served):
                msg = "this instance is shutting down"
                raise DrainingError(msg, retry_after_s=1)
        if self.document.response_model is None:
            return b""
        return msgspec.json.encode(self.document.write(models))
