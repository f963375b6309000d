"""When the garbage collector of a process that serves looks at what lives."""

import gc
from collections.abc import Iterator

import pytest
import uvicorn

from mlapi.server.draining import DrainingServer

OBJECTS_A_REQUEST = 25


@pytest.fixture
def _collector() -> Iterator[None]:
    """Leave the collector as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("_collector")
async def test_requests_under_way_set_off_no_collection_and_garbage_does() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        """Is never asked."""

    config = uvicorn.Config(app, port=0, lifespan="off", log_config=None)
    config.load()
    server = DrainingServer(config, lambda: None, 0.0)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    collections: list[str] = []

    def note(phase: str, _: object) -> None:
        collections.append(phase)

    gc.callbacks.append(note)
    try:
        waiting = [[number] for number in range(256 * OBJECTS_A_REQUEST)]
        assert collections == []
        for _ in range(2 * len(waiting)):
            cycle: list[object] = []
            cycle.append(cycle)
        assert collections != []
    finally:
        gc.callbacks.remove(note)
        await server.shutdown()
