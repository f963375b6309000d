"""A WebSocket client of the service, on wsproto: sends text messages, and reads one message or the close at a time."""

import socket
from types import TracebackType
from typing import Final, Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from tests.service_process import HOST, ServiceProcess

_TIMEOUT_S: Final = 20.0


class WebSocketClient:
    """One connection; a context manager that closes it.

    Attributes:
        socket: the connection.
        status: 101, or that of the refusal.
        headers: of the answer to the handshake, by their names in lower case.
        body: of a refusal.
        close_code: with which the service closed it; None before that.
        pings: how often it was pinged.
    """

    def __init__(
        self, service: ServiceProcess, *headers: tuple[bytes, bytes], path: str = "/project/stream", host: str = "test"
    ) -> None:
        """Connect, and shake hands or be refused."""
        self.socket = socket.create_connection((HOST, service.port), timeout=_TIMEOUT_S)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.close_code: int | None = None
        self.pings = 0
        self._connection = WSConnection(ConnectionType.CLIENT)
        self._messages: list[str] = []
        self._part = ""
        self.socket.sendall(self._connection.send(Request(host=host, target=path, extra_headers=[*headers])))
        while not self.status:
            self._receive()

    def send(self, *messages: str) -> None:
        """Send messages."""
        self.socket.sendall(b"".join(self._connection.send(Message(data=message)) for message in messages))

    def read(self) -> str:
        """Return the next message; nothing once the connection is closed."""
        while not self._messages and self.close_code is None:
            self._receive()
        return self._messages.pop(0) if self._messages else ""

    def close(self) -> None:
        """Close in order."""
        self.socket.sendall(self._connection.send(CloseConnection(code=1000)))

    def _receive(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            self.close_code = self.close_code or 1006
            self.status = self.status or -1
            return
        self._connection.receive_data(data)
        for event in self._connection.events():
            match event:
                case AcceptConnection(extra_headers=headers):
                    self._answered(101, headers)
                case RejectConnection(status_code=status, headers=headers):
                    self._answered(status, headers)
                case RejectData(data=body):
                    self.body += body
                case TextMessage(data=text, message_finished=finished):
                    self._part += text
                    if finished:
                        self._messages.append(self._part)
                        self._part = ""
                case Ping():
                    self.pings += 1
                    self.socket.sendall(self._connection.send(event.response()))
                case CloseConnection(code=code):
                    self.close_code = code

    def _answered(self, status: int, headers: object) -> None:
        assert isinstance(headers, list)
        self.status = status
        self.headers = {name.decode().lower(): value.decode() for name, value in headers}

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop the connection."""
        self.socket.close()
