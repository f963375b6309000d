"""The FastAPI application of a process that takes opinions and makes no predictions."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from mlapi.api import ops
from mlapi.api.application import answer_problems
from mlapi.api.doors import Doors
from mlapi.api.early_refusals import EarlyRefusals
from mlapi.api.fallback import Edge
from mlapi.api.families import Families
from mlapi.api.feedback_documents import feedback_route, trigger_route
from mlapi.api.headers import RequestIds
from mlapi.api.lifecycle import Lifecycle
from mlapi.api.methods import Methods
from mlapi.api.mounting import Page
from mlapi.api.openapi import add_schemas
from mlapi.dialects.native import NativeDialect
from mlapi.errors import MlapiError
from mlapi.observability.metrics import Metrics


class FeedbackApplication(FastAPI):
    """FastAPI with the routes of `mlapi learn serve`.

    Attributes:
        refusals: answers what is no request.
    """

    def __init__(
        self,
        *,
        routes_by_root: Mapping[str, ASGIApp],
        triggers_by_path: Mapping[str, ASGIApp],
        pages_by_path: Mapping[str, Page],
        lifecycle: Lifecycle,
        metrics: Metrics,
        doors: Doors | None,
        lifespan: Lifespan["FeedbackApplication"],
        version: str,
        clock: Callable[[], float],
    ) -> None:
        """Mount all routes.

        Args:
            routes_by_root: what takes opinions, by what the paths of the model begin with.
            triggers_by_path: what asks for runs of the learning loop; empty where there is no loop.
            pages_by_path: pages for people, and what they consist of; likewise.
            lifecycle: whether the process takes traffic.
            metrics: where requests are counted.
            doors: ask for API keys, where there are some.
            lifespan: opens the store, and closes it.
            version: of the service.
            clock: tells seconds.
        """
        super().__init__(
            title="mlapi feedback",
            version=version,
            summary="Opinions on the answers of a text classifier",
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            lifespan=lifespan,
        )
        request_ids = RequestIds()
        self._lifecycle = lifecycle
        self.refusals = EarlyRefusals(metrics, request_ids)
        for root, asgi in routes_by_root.items():
            name = root.strip("/").replace("/", "_") or "model"
            self.router.routes.append(feedback_route(f"{root}/feedback", f"{name}_feedback", asgi))
        for path, asgi in triggers_by_path.items():
            self.router.routes.append(trigger_route(path, asgi))
        for path, page in pages_by_path.items():
            self.router.routes.append(Route(path, page.asgi, methods=[*page.methods], include_in_schema=False))
        self.include_router(ops.cluster_routes(lifecycle, metrics.registry))

        async def openapi(_: Request) -> Response:
            return JSONResponse(self.openapi())

        self.add_route("/learn/openapi.json", openapi, include_in_schema=False)
        families = Families((), ())
        for error in (MlapiError, HTTPException, RequestValidationError):
            self.add_exception_handler(error, answer_problems(families))
        methods = Methods(super().__call__, None)
        methods.learn(self.router.routes)
        self._edge = Edge(methods, metrics, request_ids, clock, doors=doors, families=families)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            await self._edge(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def drain(self) -> None:
        """Turn readiness off; requests that come all the same are still served."""
        self._lifecycle.drain()

    def openapi(self) -> dict[str, Any]:
        """Describe the service."""
        if self.openapi_schema is None:
            # The dialect brings the shape of refusals.
            add_schemas(super().openapi(), [NativeDialect("")])
        return super().openapi()
