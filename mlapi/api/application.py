"""The FastAPI application, with the prediction routes as plain ASGI in front of its machinery."""

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api import ops
from mlapi.api.cross_origin import CrossOrigin
from mlapi.api.documents import DocumentRoute
from mlapi.api.doors import Doors
from mlapi.api.early_refusals import EarlyRefusals
from mlapi.api.fallback import Edge
from mlapi.api.families import Families
from mlapi.api.headers import RequestIds
from mlapi.api.lifecycle import Lifecycle
from mlapi.api.methods import HeadAsGet, Methods
from mlapi.api.mounting import STREAM, Mount
from mlapi.api.openapi import (
    Documented,
    add_schemas,
    document_responses,
    prediction_extra,
    prediction_responses,
    stream_responses,
)
from mlapi.api.route import PredictionRoute
from mlapi.api.text_request import TAG
from mlapi.api.websocket_route import UpgradeRequired, WebSocketRoute
from mlapi.dialects.base import WireFormat
from mlapi.dialects.problems import refusal_headers
from mlapi.errors import InvalidRequestError, MlapiError, Violation
from mlapi.observability.metrics import Metrics


class DocumentedRoute(APIRoute):
    """A route as OpenAPI has it. Made when the document is asked for: FastAPI takes a millisecond for each."""

    def __init__(self, path: str, **documentation: Any) -> None:  # noqa: ANN401  FastAPI's own keywords
        """Document `path` with APIRoute's keywords."""

        def documented() -> None:
            """Stand for the operation."""

        super().__init__(path, documented, **documentation)


class Application(FastAPI):
    """FastAPI, except that prediction requests go straight to their route."""

    def __init__(
        self,
        *,
        mounts: Sequence[Mount],
        process: Mount,
        formats: Sequence[WireFormat],
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
            mounts: the models' routes.
            process: the routes of wire formats at the root of the process.
            formats: the wire formats that these routes speak.
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
        self.mounts, self.process = mounts, process
        self.metrics, self.gate = metrics, gate
        self.cross_origin, self.tracing = bool(cors_origins), tracing
        self._lifecycle = lifecycle
        self.refusals = EarlyRefusals(metrics, request_ids)
        self._direct: dict[str, ASGIApp] = {}
        self._taken: set[str] = set()
        self._documented: list[Callable[[], APIRoute]] = []
        self._formats = formats
        self._families = Families(formats, [mount.served for mount in mounts])
        self._mount_all(mounts, process)
        for error in (MlapiError, HTTPException, RequestValidationError):
            self.add_exception_handler(error, answer_problems(self._families))
        self._cross_origin = CrossOrigin(cors_origins) if cors_origins else None
        self._edge = self._wrap(request_ids, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection. With tracing on, FastAPI sees predictions too, so that they have spans."""
        if scope["type"] == "http":
            if self._cross_origin is not None:
                send = self._cross_origin.wrap(scope, send)
            direct = self._direct.get(scope["path"])
            if direct is None and "/versions/" in scope["path"]:
                scope = {**scope, "path": self._families.unversioned(scope["path"])}
                direct = self._direct.get(scope["path"])
            if direct is None or scope["method"] != "POST":
                await self._edge(scope, receive, send)
                return
            if not self.tracing:
                await direct(scope, receive, send)
                return
        elif scope["type"] == "websocket" and (stream := self.websockets.get(scope["path"])):
            await stream(scope, receive, send)
            return
        await super().__call__(scope, receive, send)

    @property
    def websockets(self) -> dict[str, WebSocketRoute]:
        """What speaks WebSocket, by path."""
        return {f"{mount.root}/{STREAM}": mount.stream for mount in self.mounts if mount.stream}

    @property
    def pages(self) -> frozenset[str]:
        """The paths that browsers load, and that need no API key."""
        return frozenset(mount.root + rest for mount in self.mounts for rest in mount.pages)

    def drain(self) -> None:
        """Turn readiness off; requests that come all the same are still served."""
        self._lifecycle.drain()

    def openapi(self) -> dict[str, Any]:
        """Describe the service."""
        if self.openapi_schema is None:
            document = get_openapi(
                title=self.title,
                version=self.version,
                openapi_version=self.openapi_version,
                summary=self.summary,
                license_info=self.license_info,
                tags=[
                    *({"name": item.tag, "description": item.description} for item in self._formats),
                    {"name": TAG, "description": "How the model reads texts, and why it says what it says."},
                ],
                routes=[*(make() for make in self._documented), *self.routes],
            )
            dialects = [dialect for item in self._formats for dialect in item.predictions.values()]
            texts = [route for mount in self.mounts for route in mount.texts.values()]
            self.openapi_schema = add_schemas(document, [*dialects, *texts])
        return self.openapi_schema

    def _wrap(self, request_ids: RequestIds, clock: Callable[[], float]) -> Edge:
        """Return what serves all but predictions; the routes are all there."""
        methods = Methods(super().__call__, self._cross_origin)
        methods.learn(self.router.routes)
        doors = None
        if self.gate:
            doors = Doors(self.gate, _owned(self.mounts, self.process), self._cross_origin, pages=self.pages)
        return Edge(methods, self.metrics, request_ids, clock, doors=doors, families=self._families)

    def _mount_all(self, mounts: Sequence[Mount], process: Mount) -> None:
        """Add all routes; those of the first model have the plain names in OpenAPI."""
        for mount in mounts:
            self._mount(mount, "" if mount is mounts[0] else f"{mount.root[1:]}_")
            self.include_router(ops.model_routes(mount.served))
            self._add_documentation(mount)
        self._mount(process, "process_")
        self.include_router(ops.cluster_routes(self._lifecycle, self.metrics.registry))

    def _mount(self, mount: Mount, prefix: str) -> None:
        """Add the routes of a mount; their names in OpenAPI begin with a prefix."""
        for name, route in mount.predictions.items():
            self._add_prediction_route(f"{mount.root}/{name}", f"{prefix}{name}", route)
        for name, text_route in mount.texts.items():
            self._add_documented(f"{mount.root}/{name}", f"{prefix}{name}", text_route, text_route)
        for name, document in mount.documents.items():
            self._add_document_route(f"{mount.root}/{name}", f"{prefix}{name}", document)
        if mount.stream is not None:
            self._add_stream(f"{mount.root}/{STREAM}", f"{prefix}{STREAM}")
        if mount.feedback is not None:
            from mlapi.api.feedback_documents import feedback_route  # noqa: PLC0415  its schemas cost milliseconds

            route_id = self._operation_id(f"{prefix}feedback")
            self.router.routes.append(feedback_route(f"{mount.root}/feedback", route_id, mount.feedback))
        if mount.hot_texts is not None and self.gate is not None:
            from mlapi.api.hot_texts_route import hot_texts_routes  # noqa: PLC0415  imported where there is a sample

            self.include_router(hot_texts_routes(mount.served, mount.hot_texts, self.gate))

    def _add_documentation(self, mount: Mount) -> None:
        async def openapi(_: Request) -> Response:
            return JSONResponse(self.openapi())

        self.add_route(f"{mount.root}/openapi.json", openapi, include_in_schema=False)
        for rest, page in mount.pages.items():
            self.router.routes.append(
                Route(mount.root + rest, page.asgi, methods=[*page.methods], include_in_schema=False)
            )

    def _add_prediction_route(self, path: str, name: str, route: PredictionRoute) -> None:
        if path in self._direct:
            return  # of a model at the root of the process
        self._direct[path] = route
        self._add_documented(path, name, route, route.dialect)

    def _add_documented(self, path: str, name: str, app: ASGIApp, documented: Documented) -> None:
        """Add the route of a POST with texts."""
        self.router.routes.append(Route(path, app, methods=["POST"], name=name))
        operation_id = self._operation_id(name)

        def make() -> APIRoute:
            operation = documented.operation
            return DocumentedRoute(
                path,
                methods=["POST"],
                name=name,
                operation_id=operation_id,
                summary=operation.summary,
                description=operation.description,
                tags=[operation.tag],
                response_model=operation.response_model,
                response_description=operation.response_description,
                responses=prediction_responses(documented),
                openapi_extra=prediction_extra(documented),
            )

        self._documented.append(make)

    def _add_stream(self, path: str, name: str) -> None:
        """Add what is answered to those who do not speak WebSocket, and say to others how it is spoken there."""
        self.router.routes.append(Route(path, UpgradeRequired(), methods=["GET"], name=name))
        operation_id = self._operation_id(name)

        def documented() -> APIRoute:
            return DocumentedRoute(
                path,
                methods=["GET"],
                name=name,
                operation_id=operation_id,
                summary="Answer lines over WebSocket",
                description="The lines that `bulk-predict` takes, a text message each, answered by a message each, in "
                "their order, with the same query parameters.",
                tags=["predictions"],
                status_code=HTTPStatus.SWITCHING_PROTOCOLS,
                response_class=Response,
                response_description="The connection speaks WebSocket from now on (RFC 6455).",
                responses=stream_responses(),
            )

        self._documented.append(documented)

    def _add_document_route(self, path: str, name: str, route: DocumentRoute) -> None:
        if path in self._taken:
            return
        self._taken.add(path)
        self.router.routes.append(Route(path, route, methods=["GET"], name=name))
        operation_id = self._operation_id(f"get_{name}")
        document = route.document

        def documented() -> APIRoute:
            return DocumentedRoute(
                path,
                methods=["GET"],
                name=name,
                operation_id=operation_id,
                summary=document.summary,
                description=document.description,
                tags=[document.tag],
                response_model=document.response_model,
                response_description=document.summary + ".",
                response_class=JSONResponse if document.response_model else Response,
                responses=document_responses(document),
            )

        self._documented.append(documented)

    def _operation_id(self, name: str) -> str:
        """Return an id for OpenAPI: `bulk-predict` of the first model reads like `predict` of a second named `bulk`."""
        wanted = re.sub(r"\W+", "_", name)
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted


def _telemetry(*, on: bool) -> TelemetryConfig:
    """Trace requests if asked to; metrics are Prometheus's business here, and exception texts stay in the log."""
    return {"tracing": on, "auto_configure": on, "metrics": False, "logs": False}


def _owned(mounts: Sequence[Mount], process: Mount) -> list[tuple[str, str]]:
    """Return the beginnings of paths that are one model's, with its name."""
    owned = [(mount.root, mount.served.name) for mount in mounts]
    owned += [(f"/{path}", route.served.name) for path, route in process.documents.items() if route.served]
    owned += [
        (f"/{path}", route.parts.served.name) for path, route in process.predictions.items() if not route.parts.others
    ]
    return owned


def answer_problems(families: Families) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return what writes an error that FastAPI's machinery met as the path's family does."""

    async def answer(request: Request, raised: Exception) -> Response:
        path: str = request.scope["path"]
        if isinstance(raised, MlapiError):
            error = raised
        elif isinstance(raised, RequestValidationError):
            violations = [Violation("/" + "/".join(map(str, item["loc"])), item["msg"]) for item in raised.errors()]
            error = InvalidRequestError("the request is not valid", violations=violations)
        elif isinstance(raised, HTTPException):
            # Of a route's own errors none is one of these: FastAPI raises them for a path that it does not know.
            error = families.missing(path)
        request_id: str = request.state.request_id
        refusal = families.refuse(path, error, request_id)
        headers = {name.decode(): value.decode() for name, value in refusal_headers(error, refusal, request_id)}
        return Response(refusal.body, refusal.status, headers)

    return answer
