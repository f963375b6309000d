"""The FastAPI application, with the prediction routes as plain ASGI in front of its machinery."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from mlapi.api import ops
from mlapi.api.cross_origin import CrossOrigin
from mlapi.api.early_refusals import EarlyRefusals
from mlapi.api.edge import Edge
from mlapi.api.headers import RequestIds
from mlapi.api.methods import Methods
from mlapi.api.openapi import add_problem_schema, prediction_extra, prediction_responses
from mlapi.api.predict import PredictionRoute
from mlapi.api.problems import problem_body, problem_headers
from mlapi.api.schemas import PredictResponse
from mlapi.api.state import ServiceState
from mlapi.errors import InvalidRequestError, MlapiError, NotFoundError, Violation
from mlapi.observability.metrics import Metrics

_SUMMARIES = {"predict": "Classify one or a few texts", "bulk-predict": "Classify many texts"}
_DESCRIPTION = "Known texts are answered from the cache, the others by the model, each of them once."


class AsgiRoute(APIRoute):
    """A route that FastAPI documents and matches, and that plain ASGI answers."""

    def __init__(self, path: str, asgi: ASGIApp, **documentation: Any) -> None:  # noqa: ANN401  FastAPI's own keywords
        """Document `path` with APIRoute's keywords; `asgi` serves it."""

        def documented() -> None:
            """Stand for the operation; `asgi` serves it."""

        super().__init__(path, documented, **documentation)
        self.app = asgi


class Application(FastAPI):
    """FastAPI, except that prediction requests go straight to their route."""

    def __init__(
        self,
        *,
        root: str,
        predictions: Mapping[str, PredictionRoute],
        state: ServiceState,
        metrics: Metrics,
        request_ids: RequestIds,
        lifespan: Lifespan["Application"],
        version: str,
        tracing: bool,
        cors_origins: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        """Mount all routes.

        Args:
            root: what the paths of the public routes begin with.
            predictions: the prediction routes by the last part of their path.
            state: what the routes know of the service.
            metrics: where requests are counted.
            request_ids: gives every request an id.
            lifespan: loads the model, and releases it.
            version: of the service.
            tracing: whether requests are traced.
            cors_origins: the origins whose pages may read the answers.
            clock: tells seconds.
        """
        super().__init__(
            title="mlapi",
            version=version,
            summary="Text classification behind a two-tier prediction cache",
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            docs_url=f"{root}/docs",
            redoc_url=None,
            openapi_url=f"{root}/openapi.json",
            redirect_slashes=False,
            lifespan=lifespan,
            telemetry=_telemetry(on=tracing),
        )
        self.state.service = state
        self.state.registry = metrics.registry
        self.prediction_parts = {f"{root}/{name}": route.parts for name, route in predictions.items()}
        self.cross_origin = bool(cors_origins)
        self.tracing = tracing
        self.refusals = EarlyRefusals(metrics, request_ids)
        self._direct: dict[str, ASGIApp] = {}
        for name, route in predictions.items():
            self._add_prediction_route(f"{root}/{name}", name, route)
        self.include_router(ops.public, prefix=root)
        self.include_router(ops.cluster)
        for error in (MlapiError, HTTPException, RequestValidationError):
            self.add_exception_handler(error, _answer_problem)
        self._cross_origin = CrossOrigin(cors_origins) if cors_origins else None
        methods = Methods(super().__call__, self._cross_origin)
        methods.learn(self.router.routes)
        self._edge = Edge(methods, metrics, request_ids, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection. With tracing on, FastAPI sees predictions too, so that they have spans."""
        if scope["type"] == "http":
            if self._cross_origin is not None:
                send = self._cross_origin.wrap(scope, send)
            direct = self._direct.get(scope["path"])
            if direct is None or scope["method"] != "POST":
                await self._edge(scope, receive, send)
                return
            if not self.tracing:
                await direct(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def drain(self) -> None:
        """Turn readiness off; requests that come all the same are still served."""
        self.state.service.drain()

    def openapi(self) -> dict[str, Any]:
        """Describe the service."""
        if self.openapi_schema is None:
            add_problem_schema(super().openapi())
        return super().openapi()

    def _add_prediction_route(self, path: str, name: str, route: PredictionRoute) -> None:
        self._direct[path] = route
        self.router.routes.append(
            AsgiRoute(
                path,
                route,
                methods=["POST"],
                name=name,
                operation_id=name.replace("-", "_"),
                summary=_SUMMARIES[name],
                description=_DESCRIPTION,
                tags=["predictions"],
                response_model=PredictResponse,
                response_description="One prediction for each text, in their order.",
                responses=prediction_responses(),
                openapi_extra=prediction_extra(),
            )
        )


def _telemetry(*, on: bool) -> TelemetryConfig:
    """Trace requests if asked to; metrics are Prometheus's business here, and exception texts stay in the log."""
    return {"tracing": on, "auto_configure": on, "metrics": False, "logs": False}


async def _answer_problem(request: Request, raised: Exception) -> Response:
    if isinstance(raised, MlapiError):
        error = raised
    elif isinstance(raised, RequestValidationError):
        violations = [Violation("/" + "/".join(map(str, item["loc"])), item["msg"]) for item in raised.errors()]
        error = InvalidRequestError("the request is not valid", violations=violations)
    elif isinstance(raised, HTTPException):
        # Of a route's own errors none is one of these: FastAPI raises them for a path that it does not know.
        error = NotFoundError("there is no such route")
    request_id: str = request.state.request_id
    body = problem_body(error, request_id)
    headers = {name.decode(): value.decode() for name, value in problem_headers(error, body, request_id)}
    return Response(body, int(error.status), headers)
