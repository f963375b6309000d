"""A route that FastAPI documents and matches, and that plain ASGI answers."""

from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp


class AsgiRoute(APIRoute):
    """The route."""

    def __init__(self, path: str, asgi: ASGIApp, **documentation: Any) -> None:  # noqa: ANN401  FastAPI's own keywords
        """Document `path` with APIRoute's keywords; `asgi` serves it."""

        def documented() -> None:
            """Stand for the operation; `asgi` serves it."""

        super().__init__(path, documented, **documentation)
        self.app = asgi
