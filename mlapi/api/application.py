"""The FastAPI application, with the prediction routes as plain ASGI in front of its machinery."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api import ops
from mlapi.api.asgi_route import AsgiRoute
from mlapi.api.cross_origin import CrossOrigin
from mlapi.api.doors import Doors
from mlapi.api.early_refusals import EarlyRefusals
from mlapi.api.fallback import Edge
from mlapi.api.headers import RequestIds
from mlapi.api.lifecycle import Lifecycle
from mlapi.api.methods import HeadAsGet, Methods
from mlapi.api.openapi import add_schemas, prediction_extra, prediction_responses
from mlapi.api.route import PredictionRoute
from mlapi.api.served_model import ServedModel
from mlapi.dialects.problems import problem, refusal_headers
from mlapi.errors import InvalidRequestError, MlapiError, NotFoundError, Violation
from mlapi.observability.metrics import Metrics


class Mount(NamedTuple):
    """One model's routes, by the last part of their paths.

    Attributes:
        served: the model.
        predictions: its prediction routes.
        feedback: takes opinions on its answers; None where that is another process's business.
    """

    served: ServedModel
    predictions: Mapping[str, PredictionRoute]
    feedback: ASGIApp | None = None


class Application(FastAPI):
    """FastAPI, except that prediction requests go straight to their route."""

    def __init__(
        self,
        *,
        mounts: Sequence[Mount],
        lifecycle: Lifecycle,
        metrics: Metrics,
        request_ids: RequestIds,
        gate: Gate | None,
        lifespan: Lifespan["Application"],
        version: str,
        tracing: bool,
        cors_origins: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        """Mount all routes.

        Args:
            mounts: the models.
            lifecycle: whether the process takes traffic.
            metrics: where requests are counted.
            request_ids: gives every request an id.
            gate: lets requests in by their API keys; None: everybody is let in.
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
            docs_url=None,  # every model has its own, below its root
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            lifespan=lifespan,
            middleware=[Middleware(HeadAsGet)],
            telemetry=_telemetry(on=tracing),
        )
        self.mounts = mounts
        self.metrics = metrics
        self.gate = gate
        self.cross_origin = bool(cors_origins)
        self.tracing = tracing
        self._lifecycle = lifecycle
        self.refusals = EarlyRefusals(metrics, request_ids)
        self._direct: dict[str, ASGIApp] = {}
        self._operation_ids: set[str] = set()
        self._dialects = [route.dialect for route in mounts[0].predictions.values()]
        for mount in mounts:
            self._mount(mount, first=mount is mounts[0])
        self.include_router(ops.cluster_routes(lifecycle, metrics.registry))
        for error in (MlapiError, HTTPException, RequestValidationError):
            self.add_exception_handler(error, answer_problem)
        self._cross_origin = CrossOrigin(cors_origins) if cors_origins else None
        methods = Methods(super().__call__, self._cross_origin)
        methods.learn(self.router.routes)
        self._edge = Edge(methods, self._doors(), metrics, request_ids, clock)

    def _doors(self) -> Doors | None:
        """Return what asks for API keys, where there are some."""
        roots = [(mount.served.root, mount.served.name) for mount in self.mounts]
        return Doors(self.gate, roots, self._cross_origin) if self.gate else None

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
        self._lifecycle.drain()

    def openapi(self) -> dict[str, Any]:
        """Describe the service."""
        if self.openapi_schema is None:
            add_schemas(super().openapi(), self._dialects)
        return super().openapi()

    def _mount(self, mount: Mount, *, first: bool) -> None:
        """Add the routes of one model; those of the first have the plain names in OpenAPI."""
        root = mount.served.root
        prefix = "" if first else f"{root[1:]}_"
        for name, route in mount.predictions.items():
            self._add_prediction_route(f"{root}/{name}", f"{prefix}{name}", route)
        if mount.feedback is not None:
            from mlapi.api.feedback_documents import feedback_route  # noqa: PLC0415  its schemas cost milliseconds

            name = f"{prefix}feedback"
            self.router.routes.append(feedback_route(f"{root}/feedback", self._operation_id(name), mount.feedback))
        self.include_router(ops.model_routes(mount.served))

        async def openapi(_: Request) -> Response:
            return JSONResponse(self.openapi())

        async def docs(_: Request) -> Response:
            return get_swagger_ui_html(openapi_url=f"{root}/openapi.json", title=self.title)

        self.add_route(f"{root}/openapi.json", openapi, include_in_schema=False)
        self.add_route(f"{root}/docs", docs, include_in_schema=False)

    def _add_prediction_route(self, path: str, name: str, route: PredictionRoute) -> None:
        self._direct[path] = route
        operation = route.dialect.operation
        self.router.routes.append(
            AsgiRoute(
                path,
                route,
                methods=["POST"],
                name=name,
                operation_id=self._operation_id(name),
                summary=operation.summary,
                description=operation.description,
                tags=[operation.tag],
                response_model=operation.response_model,
                response_description=operation.response_description,
                responses=prediction_responses(route.dialect),
                openapi_extra=prediction_extra(route.dialect),
            )
        )

    def _operation_id(self, name: str) -> str:
        """Return an id for OpenAPI: `bulk-predict` of the first model reads like `predict` of a second named `bulk`."""
        wanted = name.replace("-", "_")
        while wanted in self._operation_ids:
            wanted += "_"
        self._operation_ids.add(wanted)
        return wanted


def _telemetry(*, on: bool) -> TelemetryConfig:
    """Trace requests if asked to; metrics are Prometheus's business here, and exception texts stay in the log."""
    return {"tracing": on, "auto_configure": on, "metrics": False, "logs": False}


async def answer_problem(request: Request, raised: Exception) -> Response:
    """Write an error that FastAPI's machinery met as a problem document."""
    if isinstance(raised, MlapiError):
        error = raised
    elif isinstance(raised, RequestValidationError):
        violations = [Violation("/" + "/".join(map(str, item["loc"])), item["msg"]) for item in raised.errors()]
        error = InvalidRequestError("the request is not valid", violations=violations)
    elif isinstance(raised, HTTPException):
        # Of a route's own errors none is one of these: FastAPI raises them for a path that it does not know.
        error = NotFoundError("there is no such route")
    request_id: str = request.state.request_id
    refusal = problem(error, request_id)
    headers = {name.decode(): value.decode() for name, value in refusal_headers(error, refusal, request_id)}
    return Response(refusal.body, int(error.status), headers)
