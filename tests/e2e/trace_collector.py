"""Stands for an OpenTelemetry collector, and keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collector:
    """Stands for an OpenTelemetry collector: keeps the bodies that are posted to it."""

    def __init__(self, port: int, received: list[bytes]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.received = received


@contextmanager
def collector() -> Iterator[Collector]:
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Collector(server.server_port, received)
    finally:
        server.shutdown()
        server.server_close()
