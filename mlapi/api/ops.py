"""The routes for people and the cluster: health, model, probes and metrics."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from mlapi.api.openapi import REQUEST_ID_HEADER
from mlapi.api.state import Phase, ServiceState
from mlapi.dialects.problems import PROBLEM_CONTENT
from mlapi.dialects.schemas import CacheHealth, Health, ModelInfo, ModelReference

public = APIRouter(tags=["service"])
cluster = APIRouter(include_in_schema=False)


def service_state(request: Request) -> ServiceState:
    """Find the state that the application was made with."""
    state: ServiceState = request.app.state.service
    return state


def metrics_registry(request: Request) -> CollectorRegistry:
    """Find the registry that the application was made with."""
    registry: CollectorRegistry = request.app.state.registry
    return registry


State = Annotated[ServiceState, Depends(service_state)]
Registry = Annotated[CollectorRegistry, Depends(metrics_registry)]

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": REQUEST_ID_HEADER},
    503: {"description": "The process is stopping.", "headers": REQUEST_ID_HEADER, "content": PROBLEM_CONTENT},
}


@public.get("/health", responses=_RESPONSES, response_model_exclude_none=True)
async def health(state: State) -> Health:
    """Tell whether predictions are served, and how the cache is doing; a dead Redis is no failure."""
    service = state.service
    return Health(
        status="ok",
        cache=CacheHealth(status=service.cache.status, reason=service.cache.reason),
        model=ModelReference(name=service.model.name, digest=service.model.digest),
    )


@public.get("/model", responses=_RESPONSES)
async def model(state: State) -> ModelInfo:
    """Tell which model answers, and how good it was measured to be."""
    return state.service.model


@cluster.get("/livez")
async def livez() -> Response:
    """Tell that the event loop turns; touches nothing else."""
    return _plain("ok")


@cluster.get("/readyz")
async def readyz(state: State) -> Response:
    """Tell whether to send traffic here: the model is warm and the process is not about to stop."""
    status = HTTPStatus.OK if state.phase is Phase.READY else HTTPStatus.SERVICE_UNAVAILABLE
    return _plain(state.phase.value, status)


@cluster.get("/startupz")
async def startupz(state: State) -> Response:
    """Tell whether the start is over."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if state.phase is Phase.STARTING else HTTPStatus.OK
    return _plain(state.phase.value, status)


@cluster.get("/metrics")
async def metrics(registry: Registry) -> Response:
    """Write all metrics in the Prometheus text format."""
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(text + "\n", status, media_type="text/plain", headers={"cache-control": "no-store"})
