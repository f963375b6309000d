"""The routes for people and the cluster: health, model, probes and metrics."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from mlapi.api.lifecycle import Lifecycle, Phase
from mlapi.api.openapi import CHALLENGE_HEADER, REQUEST_ID_HEADER
from mlapi.api.served_model import ServedModel
from mlapi.dialects.problems import PROBLEM_CONTENT
from mlapi.dialects.schemas import CacheHealth, Health, ModelInfo, ModelReference

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": REQUEST_ID_HEADER},
    401: {
        "description": "An API key is needed.",
        "headers": {**REQUEST_ID_HEADER, **CHALLENGE_HEADER},
        "content": PROBLEM_CONTENT,
    },
    403: {
        "description": "The API key is not for this model.",
        "headers": REQUEST_ID_HEADER,
        "content": PROBLEM_CONTENT,
    },
    503: {"description": "The process is stopping.", "headers": REQUEST_ID_HEADER, "content": PROBLEM_CONTENT},
}


def model_routes(served: ServedModel) -> APIRouter:
    """Return the routes that tell about one model."""
    routes = APIRouter(tags=["service"], prefix=served.root)

    @routes.get("/health", responses=_RESPONSES, response_model_exclude_none=True)
    async def health() -> Health:
        """Tell whether predictions are served, and how the cache is doing; a dead Redis is no failure."""
        model = served.loaded
        return Health(
            status="ok",
            cache=CacheHealth(status=model.cache.status, reason=model.cache.reason),
            model=ModelReference(name=model.info.name, digest=model.info.digest),
        )

    @routes.get("/model", responses=_RESPONSES)
    async def model() -> ModelInfo:
        """Tell which model answers, and how good it was measured to be."""
        return served.loaded.info

    return routes


def cluster_routes(lifecycle: Lifecycle, registry: CollectorRegistry) -> APIRouter:
    """Return the routes that tell about the process; no gateway routes them."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/livez")
    async def livez() -> Response:
        """Tell that the event loop turns; touches nothing else."""
        return _plain("ok")

    @routes.get("/readyz")
    async def readyz() -> Response:
        """Tell whether to send traffic here: all models are warm and the process is not about to stop."""
        status = HTTPStatus.OK if lifecycle.phase is Phase.READY else HTTPStatus.SERVICE_UNAVAILABLE
        return _plain(lifecycle.phase.value, status)

    @routes.get("/startupz")
    async def startupz() -> Response:
        """Tell whether the start is over."""
        status = HTTPStatus.SERVICE_UNAVAILABLE if lifecycle.phase is Phase.STARTING else HTTPStatus.OK
        return _plain(lifecycle.phase.value, status)

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Write all metrics in the Prometheus text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return routes


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(text + "\n", status, media_type="text/plain", headers={"cache-control": "no-store"})
