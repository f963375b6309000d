"""One address for whichever server stands behind it now, as a Kubernetes Service is: for tests of a failover."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from tests.service_process import HOST

_CHUNK: Final = 65536


class SteadyAddress:
    """Hands each new connection on to the present target, and leaves those that are open; a context manager.

    Attributes:
        target: the port that new connections are handed on to.
    """

    def __init__(self, target: int) -> None:
        """Listen on a free port."""
        self.target = target
        self._listener = socket.create_server((HOST, 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        """Where it listens, as a Redis URL."""
        return f"redis://{HOST}:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        """Start."""
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything."""
        # Closing alone does not wake the thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for open_socket in self._sockets:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for open_socket in [*self._sockets, self._listener]:
            open_socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection((HOST, self.target))
            except OSError:
                client.close()
                continue
            self._sockets += client, server
            for ends in ((client, server), (server, client)):
                thread = threading.Thread(target=_hand_on, args=ends)
                thread.start()
                self._threads.append(thread)


def _hand_on(source: socket.socket, sink: socket.socket) -> None:
    """Copy until either end closes, and then close both for good."""
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
