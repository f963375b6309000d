"""Wraps every other route: request ids, request metrics, and a problem document for whatever goes wrong."""

import logging
from collections.abc import Callable
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from mlapi.api.body import CLIENT_GONE, SEND_FAILURES, ClientGoneError, wait_until_gone
from mlapi.api.doors import Doors
from mlapi.api.families import Families
from mlapi.api.headers import RequestIds, read_head
from mlapi.api.methods import Methods
from mlapi.dialects.problems import refusal_headers
from mlapi.errors import InternalError, MlapiError
from mlapi.observability.metrics import Metrics

_log = logging.getLogger(__name__)

UNKNOWN_ROUTE: Final = "unknown"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Edge:
    """ASGI middleware around FastAPI."""

    def __init__(
        self,
        app: Methods,
        metrics: Metrics,
        request_ids: RequestIds,
        clock: Callable[[], float],
        *,
        doors: Doors | None,
        families: Families,
    ) -> None:
        """Wrap an application that knows its paths.

        Args:
            app: the application.
            metrics: where requests are counted.
            request_ids: gives every request an id.
            clock: tells seconds.
            doors: where keys are asked for; None where all are let in.
            families: write the refusals.
        """
        self._app = app
        self._doors = doors
        self._metrics = metrics
        self._request_ids = request_ids
        self._clock = clock
        self._families = families

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started = self._clock()
        request_id = self._request_ids.choose(read_head(scope["headers"], b"").request_id)
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [item for item in message.get("headers", ()) if item[0].lower() != b"x-request-id"]
                message = {**message, "headers": [*headers, (b"x-request-id", request_id)]}
            try:
                await send(message)
            except SEND_FAILURES as error:
                raise ClientGoneError from error

        try:
            try:
                if self._doors is not None:
                    self._doors.enter(scope)
                await self._app(scope, receive, send_with_id)
            except MlapiError as error:
                await self._send_refusal(send_with_id, scope["path"], error, request_id.decode())
        except ClientGoneError:
            await wait_until_gone(receive)
            status = CLIENT_GONE
        except Exception:  # noqa: BLE001  the last line: whatever breaks, the caller gets a problem document
            _log.exception("a request failed", extra={"request_id": request_id.decode()})
            if not status:
                failure = InternalError("the service failed; the request id finds the reason in its log")
                await self._send_refusal(send, scope["path"], failure, request_id.decode())
            status = 500
        finally:
            # A path or method that no route knows must not become a label: anybody can invent those. No route here has
            # parameters, so the path of one that matched is its template.
            route = scope["path"] if self._app.knows(scope["path"]) else UNKNOWN_ROUTE
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.http_requests.labels(route, method, str(status)).inc()
            self._metrics.http_request_duration.labels(route).observe(self._clock() - started)

    async def _send_refusal(self, send: Send, path: str, error: MlapiError, request_id: str) -> None:
        refusal = self._families.refuse(path, error, request_id)
        headers = refusal_headers(error, refusal, request_id)
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": refusal.body})
