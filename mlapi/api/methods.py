"""Answers what a path's methods imply: HEAD wherever GET is, OPTIONS everywhere, and 405 for all others."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from mlapi.api.cross_origin import CrossOrigin
from mlapi.errors import MethodNotAllowedError


class Methods:
    """ASGI middleware around FastAPI, whose own routes know nothing but the methods that they were declared with."""

    def __init__(self, app: ASGIApp, cross_origin: CrossOrigin | None) -> None:
        """Wrap an application, whose routes are still to be told; pages of other origins may use them, or not."""
        self._app = app
        self._cross_origin = cross_origin
        self._allowed: Mapping[str, str] = {}

    def learn(self, routes: Iterable[BaseRoute]) -> None:
        """Take note of the routes, none of which has parameters in its path."""
        methods: dict[str, set[str]] = {}
        for route in iter_route_contexts([*routes]):
            if route.path is not None and route.methods:
                methods.setdefault(route.path, {"OPTIONS"}).update(route.methods)
        for given in methods.values():
            if "GET" in given:
                given.add("HEAD")
        # The target of an OPTIONS that asks about the server as a whole (RFC 9110, section 9.3.7).
        methods["*"] = set().union(*methods.values())
        self._allowed = {path: ", ".join(sorted(given)) for path, given in methods.items()}

    def knows(self, path: str) -> bool:
        """Tell whether a route has this path."""
        return path in self._allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            MethodNotAllowedError: the path has a route, but not with this method (RFC 9110, section 15.5.6).
        """
        method = scope["method"]
        allowed = self._allowed.get(scope["path"])
        if allowed is None:
            await self._app(scope, receive, send)
        elif method == "OPTIONS":
            headers = [(b"allow", allowed.encode())]
            if self._cross_origin is not None:
                headers += self._cross_origin.preflight(scope)
            await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": headers})
            await send({"type": "http.response.body"})
        elif method not in allowed.split(", "):
            msg = f"{method} is not served here"
            raise MethodNotAllowedError(msg, headers=[("allow", allowed)])
        else:
            await self._app(scope, receive, send)


class HeadAsGet:
    """Middleware within FastAPI, so that telemetry, which is around that, still sees which method was asked for.

    To a HEAD the server sends the head of the answer to a GET, and no body (RFC 9110, section 9.3.2).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._app({**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope, receive, send)
