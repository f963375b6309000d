"""Stands for objects of uvicorn's as long as a plain request may do without them."""

from typing import Self


class Place:
    """Stands for uvicorn's cycle of a plain request, as long as it may do without one.

    Attributes:
        url, headers, body: the request.
        keep_alive: whether the connection goes on after the answer; uvicorn turns it off.
        disconnected: whether the caller has gone; uvicorn turns it on.
        response_complete: whether the next request may be answered.
    """

    __slots__ = ("body", "disconnected", "headers", "keep_alive", "response_complete", "url")

    def __init__(self, url: bytes, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Keep what a cycle would be made from."""
        self.url = url
        self.headers = headers
        self.body = body
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    @property
    def message_event(self) -> Self:
        """What uvicorn sets to wake the application."""
        return self

    def set(self) -> None:
        """Wake nobody."""


class PlainHead:
    """What a parser says of a plain request."""

    def get_http_version(self) -> str:
        """Nothing older has connections that stay open without asking for it."""
        return "1.1"

    def get_method(self) -> bytes:
        """The routes take no other."""
        return b"POST"

    def should_keep_alive(self) -> bool:
        """It stays open."""
        return True

    def should_upgrade(self) -> bool:
        """It does not become another protocol's."""
        return False
