"""Mounts the pages; what they are written by is imported when somebody first looks, which keeps the start short."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from mlapi.access.gate import Gate
from mlapi.api.body import BodyReader
from mlapi.api.body_deadline import Expiry
from mlapi.api.mounting import Mount, Page
from mlapi.api.served_model import ServedModel
from mlapi.page.files import static_files

_ESCAPED_BYTES: Final = 12
"""What one character of a text can take in a form: four bytes of UTF-8, each as `%XX`."""

_TEXTS_OF_A_FORM: Final = 2
"""The one in its field, and the one whose answer is shown."""

_OTHER_BYTES: Final = 8_192
_HELD_FORMS: Final = 8


def form_reader(max_body_bytes: int, max_chars: int, expiry: Expiry) -> BodyReader:
    """Return what reads forms: not a byte more than they can need, because that is before their key is known."""
    bound = min(max_body_bytes, _TEXTS_OF_A_FORM * _ESCAPED_BYTES * max_chars + _OTHER_BYTES)
    return BodyReader(bound, _HELD_FORMS * bound, expiry)


def with_pages(mounts: Sequence[Mount], reader: BodyReader, gate: Gate | None, *, max_chars: int) -> list[Mount]:
    """Return the models' routes with their pages.

    Args:
        mounts: the other routes.
        reader: reads forms.
        gate: lets requests in by their API keys; None: everybody is let in.
        max_chars: characters that a text may have.
    """
    served = [mount.served for mount in mounts]
    return [mount._replace(pages=_pages(mount, served, reader, gate, max_chars=max_chars)) for mount in mounts]


def _pages(
    mount: Mount, served: Sequence[ServedModel], reader: BodyReader, gate: Gate | None, *, max_chars: int
) -> dict[str, Page]:
    """Return a model's pages by the rest of their paths."""
    keyed = gate is not None
    page = _Later(partial(_page_route, mount, served, reader, gate, max_chars=max_chars))
    found = {
        "/": Page(page, ("GET", "POST")),
        "/docs": Page(_Later(partial(_documentation_route, mount.served.name, mount.root, keyed=keyed))),
        **{rest: Page(file) for rest, file in static_files().items()},
    }
    return found | ({"": Page(_Later(partial(_slash_route, mount.root)))} if mount.root else {})


class _Later:
    """A route that is made for its first request."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._made is None:
            self._made = self._make()
        await self._made(scope, receive, send)


def _page_route(
    mount: Mount, served: Sequence[ServedModel], reader: BodyReader, gate: Gate | None, *, max_chars: int
) -> ASGIApp:
    from mlapi.page.route import PageParts, PageRoute  # noqa: PLC0415  see above

    return PageRoute(
        PageParts(
            served=mount.served,
            others=[other for other in served if other is not mount.served],
            predict=mount.predictions["predict"],
            feedback=mount.feedback,
            explain=mount.texts["explain"],
            reader=reader,
            max_chars=max_chars,
            gate=gate,
        )
    )


def _documentation_route(name: str, root: str, *, keyed: bool) -> ASGIApp:
    from mlapi.page.route import DocumentationRoute  # noqa: PLC0415  see above

    return DocumentationRoute(name, root, keyed=keyed)


def _slash_route(root: str) -> ASGIApp:
    from mlapi.page.route import SlashRoute  # noqa: PLC0415  see above

    return SlashRoute(root)
