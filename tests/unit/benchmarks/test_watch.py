"""What is done to prepare a row is not held against the server."""

import os
from typing import TYPE_CHECKING, cast

import pytest

from benchmarks.session import Watch

if TYPE_CHECKING:
    from benchmarks.servers import Server


class FakeServer:
    """Has used as many seconds of a processor as it is told."""

    processor_s = 0.0


def test_only_what_follows_the_beginning_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    now, server = 100.0, FakeServer()
    monkeypatch.setattr("benchmarks.session.time.perf_counter", lambda: now)
    watch = Watch(tuple(os.sched_getaffinity(0)), cast("Server", server))
    now += 7.0
    server.processor_s += 1.0
    watch.begin()
    now += 2.0
    server.processor_s += 1.5
    assert watch.read()["server_processors"] == pytest.approx(0.75)
