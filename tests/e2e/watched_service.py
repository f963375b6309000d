"""`mlapi`, with a record of every name that it looks up and every connection that it opens: for tests."""

import os
import sys
from pathlib import Path
from typing import Any, Final

import uvloop

from mlapi.cli.group import main

RECORD: Final = "WATCHED_RECORD"
_OUTGOING: Final = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})


def note(what: str, *arguments: object) -> None:
    """Note what goes out."""
    with Path(os.environ[RECORD]).open("a", encoding="utf-8") as file:
        file.write(f"{what} {arguments!r}\n")


class WatchedLoop(uvloop.Loop):
    """uvloop's, whose own look-ups and connections Python's audit events do not show."""

    async def getaddrinfo(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401  as uvloop's
        """Note it, and look up."""
        note("getaddrinfo", *given[:2])
        return await super().getaddrinfo(*given, **named)

    async def create_connection(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401  as above
        """Note it, and connect."""
        note("create_connection", *given[1:3], *map(named.get, ("host", "port", "sock")))
        return await super().create_connection(*given, **named)


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Note one of Python's audit events."""
    if event in _OUTGOING:
        note(event, *arguments)


if __name__ == "__main__":
    uvloop.new_event_loop = WatchedLoop
    sys.addaudithook(watch)
    main()
