"""Stands in for the service on loopback: says to each request whatever a test wants it to say."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any, NamedTuple

PRIMED = 64 // 8
"""Requests that make the hot set known, before anything is measured."""


class Answer(NamedTuple):
    """What the impostor says to a request of so many texts."""

    predictions: list[Any]
    headers: dict[str, str]
    status: int = 200


def right(texts: int) -> Answer:
    predictions = [[{"label": "POSITIVE", "score": 0.9}, {"label": "NEGATIVE", "score": 0.1}]] * texts
    headers = {
        "Cache-Status": f'mlapi; hit; detail="l1={texts} l2=0 collapsed=0 model=0"',
        "Server-Timing": "cache;dur=0.1",
        "Model-Digest": "0123",
        "X-Request-Id": "1",
    }
    return Answer(predictions, headers)


@contextmanager
def impostor(answer: Callable[[int, int], Answer]) -> Iterator[str]:
    """Serve, on loopback, what `answer` says to the number of a request and of its texts; yields the base URL."""
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(Answer([], {}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._say(answer(next(numbers), len(body["text"])))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name for it
            pass

        def _say(self, said: Answer) -> None:
            content = json.dumps({"predictions": said.predictions}).encode()
            self.send_response(said.status)
            for name, value in (said.headers | {"Content-Length": str(len(content))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/project"
        server.shutdown()
