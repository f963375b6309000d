"""A service that answers wrongly fails the load test, whatever its status codes say."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from tests.load.k6 import GOALS_MISSED, run_load


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


PRIMED = 64 // 8
"""Requests that make the hot set known, before anything is measured."""


def drifting(number: int, texts: int) -> Answer:
    score = 0.9 if number < PRIMED else 0.8
    prediction = [{"label": "POSITIVE", "score": score}, {"label": "NEGATIVE", "score": 1 - score}]
    return right(texts)._replace(predictions=[prediction] * texts)


def rolled_out(number: int, texts: int) -> Answer:
    """Another model from the second request on, which rates texts differently and says who it is."""
    answer = drifting(number, texts)
    return answer if number < PRIMED else answer._replace(headers=answer.headers | {"Model-Digest": "4567"})


def rising(number: int, texts: int) -> Answer:
    answer = right(texts)
    return answer if number < PRIMED else answer._replace(predictions=[each[::-1] for each in answer.predictions])


def one_short(number: int, texts: int) -> Answer:
    answer = right(texts)
    return answer if number < PRIMED else answer._replace(predictions=answer.predictions[1:])


def headerless(number: int, texts: int) -> Answer:
    answer = right(texts)
    return answer if number < PRIMED else answer._replace(headers={})


def refusing(number: int, texts: int) -> Answer:
    return right(texts) if number < PRIMED else Answer([], {}, 503)


SHAPE = "answers of the documented shape"


@pytest.mark.parametrize(
    ("answer", "scenario", "missed"),
    [
        (drifting, "smoke", {"same text, same answer"}),
        (rolled_out, "smoke", set[str]()),
        (rising, "smoke", {SHAPE}),
        (one_short, "smoke", {SHAPE}),
        (headerless, "smoke", {SHAPE, "hit rate"}),
        (refusing, "smoke", {"failed requests"}),
        (refusing, "breakpoint", {"known texts refused", "refusals with Retry-After"}),
    ],
)
def test_it_is_found_out(answer: Callable[[int, int], Answer], scenario: str, missed: set[str], tmp_path: Path) -> None:
    with impostor(answer) as url:
        done = run_load(tmp_path, scenario=scenario, duration="1s", rate="20", base_url=url)
    assert done.missed == missed
    assert done.exit_code == (GOALS_MISSED if missed else 0)


def test_a_rollout_is_told(tmp_path: Path) -> None:
    with impostor(rolled_out) as url:
        done = run_load(tmp_path, scenario="smoke", duration="1s", rate="20", base_url=url)
    assert "100.00% of the answers came from another one than 0123" in done.output
