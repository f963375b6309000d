"""`GET {root}/hot-texts`: hands the sample of hot texts to keys with the scope `admin`, for warming a new version."""

import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from mlapi.access.gate import Gate
from mlapi.api.mounting import Mount
from mlapi.api.served_model import ServedModel
from mlapi.cache.hot_texts import HotTexts

MAX_LIMIT: Final = 20_000


def with_hot_texts(
    mounts: Sequence[Mount], max_bytes: int, clock: Callable[[], float], chance: Callable[[], float]
) -> list[Mount]:
    """Return mounts that sample the texts of their model, within so many bytes; 0: as they are."""
    if not max_bytes:
        return list(mounts)
    return [mount._replace(hot_texts=HotTexts(max_bytes, clock, chance)) for mount in mounts]


def hot_texts_routes(served: ServedModel, sample: HotTexts, gate: Gate) -> APIRouter:
    """Return the route of one model."""
    routes = APIRouter(tags=["service"], prefix=served.root)
    # Whoever asks several times through one Service learns so which answers come from the same process.
    process = secrets.token_hex(8)

    @routes.get("/hot-texts", include_in_schema=False)
    async def hot_texts(request: Request, limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 1_000) -> Response:
        """Return the texts that were asked for most of late."""
        gate.admit(request.scope["headers"], served.name, "admin")
        content = {
            "process": process,
            "model": {"name": served.loaded.info.name, "digest": served.loaded.info.digest},
            "texts": [{"text": text, "count": count} for text, count in sample.hottest(limit)],
        }
        headers = {"cache-control": "no-store"}
        return Response(msgspec.json.encode(content), media_type="application/json", headers=headers)

    return routes
