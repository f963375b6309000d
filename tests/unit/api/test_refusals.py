"""A refused request is forgotten at once, with all of its texts, and nobody else's is."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Scope

from mlapi.api.application import Application
from mlapi.app import create_app
from mlapi.errors import MlapiError
from mlapi.settings import read_settings

SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/project/bulk-predict",
    "query_string": b"",
    "headers": [(b"content-type", b"application/json")],
    "state": {},
}


class Caller:
    """Sends two texts, and takes what is sent as soon as it is `ready`."""

    def __init__(self, ready: asyncio.Event) -> None:
        self.ready = ready
        self.asked = False
        self.answered = asyncio.Event()
        self.taken: list[Message] = []

    async def receive(self) -> Message:
        if self.asked:
            await asyncio.Event().wait()
        self.asked = True
        return {"type": "http.request", "body": b'{"text": ["good", "bad"]}', "more_body": False}

    async def send(self, message: Message) -> None:
        self.taken.append(message)
        self.answered.set()
        await self.ready.wait()


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    application = create_app(read_settings({"MLAPI_ENGINE": "fake", "MLAPI_MAX_WAITING_TOKENS": "1"}), {})
    async with application.router.lifespan_context(application):
        yield application


async def test_what_a_refusal_was_about_does_not_wait_for_the_garbage_collector(app: Application) -> None:
    ready = asyncio.Event()
    ready.set()
    caller = Caller(ready)
    gc.collect()
    gc.disable()
    try:
        await app(SCOPE, caller.receive, caller.send)
        left = [held for held in gc.get_objects() if issubclass(type(held), MlapiError)]
    finally:
        gc.enable()
    assert caller.taken[0]["status"] == 413
    assert left == []


async def test_callers_who_share_an_error_all_get_the_whole_answer(app: Application) -> None:
    ready = asyncio.Event()
    callers = [Caller(ready) for _ in range(3)]
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for caller in callers:
            group.create_task(app(dict(SCOPE), caller.receive, caller.send))
        for caller in callers:
            await caller.answered.wait()
        ready.set()
    assert [[message["type"] for message in caller.taken] for caller in callers] == 3 * [
        ["http.response.start", "http.response.body"]
    ]
    assert {caller.taken[0]["status"] for caller in callers} == {413}
