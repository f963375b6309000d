"""A caller that is gone when its answer is ready is counted, and hurts nobody."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Receive, Scope

from mlapi.api.application import Application
from mlapi.app import create_app
from mlapi.settings import read_settings

BODY = b'{"text": "good"}'


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    application = create_app(read_settings({"MLAPI_ENGINE": "fake"}), {})
    async with application.router.lifespan_context(application):
        yield application


def scope(method: str, path: str) -> Scope:
    headers = [(b"content-type", b"application/json")]
    return {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers, "state": {}}


def counted(app: Application, method: str, route: str, status: str) -> float | None:
    labels = {"method": method, "route": route, "status": status}
    return app.metrics.registry.get_sample_value("mlapi_http_requests_total", labels)


def caller(*, stays: bool) -> Receive:
    """Give the body, and then nothing more, or the end of the connection."""
    messages: list[Message] = [{"type": "http.request", "body": BODY, "more_body": False}]
    if not stays:
        messages.insert(0, {"type": "http.disconnect"})

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return receive


@pytest.mark.parametrize("failure", [RuntimeError("the handler is closed"), ConnectionResetError()])
@pytest.mark.parametrize(("method", "path"), [("POST", "/project/predict"), ("GET", "/project/health")])
async def test_an_answer_that_nobody_takes_is_counted_as_such(
    app: Application, method: str, path: str, failure: Exception
) -> None:
    async def send(_: Message) -> None:
        raise failure

    if method == "POST":  # known: the answer needs no model, and is sent at once
        await app(scope(method, path), caller(stays=True), _ignore)
    await app(scope(method, path), caller(stays=False), send)
    assert counted(app, method, path, "499") == 1


async def _ignore(_: Message) -> None:
    """Take whatever is sent."""
