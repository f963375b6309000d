"""k6 in the background: requests that arrive at a steady rate while a test does something to the service."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tests.cluster.waiting import until
from tests.programs import find_program

_SCRIPT: Final = Path(__file__).with_name("arrivals.js")
_STOP_S: Final = 30.0
_START_S: Final = 60.0
_SILENT_S: Final = 20.0
"""Longer than the script lets a request take: by then it is an answer, or a failure."""

_LONGEST: Final = "30m"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        at: when it was over, seconds since the epoch.
        duration_ms: how long it took.
        good: whether it was a prediction.
        known: whether its text was one of the few that are asked for over and over.
        hit: whether it came from the cache.
        said: what came instead of a prediction.
        model: the digest of the model that answered.
        again: how often it was asked for once more, since nothing had come.
    """

    at: float
    duration_ms: float
    good: bool
    known: bool
    hit: bool
    said: str
    model: str
    again: int


class Arrivals:
    """One run of k6; a context manager that ends it."""

    def __init__(
        self,
        url: str,
        *,
        rate: int,
        miss_share: float = 0.1,
        miss_words: int = 0,
        host: str = "",
        retries: int = 0,
    ) -> None:
        """Prepare requests to a URL.

        Args:
            url: where to POST.
            rate: requests per second.
            miss_share: the share of requests with a text that was never seen before.
            miss_words: how many times four more words are added to such a text.
            host: the name that the requests ask for, if it is not the URL's.
            retries: how often a request that got no answer at all is sent again.
        """
        self.rate = rate
        self._folder = tempfile.TemporaryDirectory(prefix="arrivals-")
        self._output = Path(self._folder.name) / "answers.json"
        self._log: IO[bytes] = (Path(self._folder.name) / "log").open("w+b")
        self._environment = {
            "URL": url,
            "RATE": str(rate),
            "DURATION": _LONGEST,
            "MISS_SHARE": str(miss_share),
            "MISS_WORDS": str(miss_words),
            "SEED": str(time.time_ns()),
            "HOST": host,
            "RETRIES": str(retries),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: list[Answer] = []
        self._dropped = 0
        self._read_to = 0

    @property
    def answers(self) -> Sequence[Answer]:
        """What is known so far; k6 writes several times a second."""
        if self._output.exists():
            with self._output.open("rb") as file:
                file.seek(self._read_to)
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read_to += len(whole)
            for line in whole.splitlines():
                self._take(line)
        return self._answers

    @property
    def failures(self) -> list[str]:
        """What came instead of predictions."""
        return [f"{answer.duration_ms:.0f} ms: {answer.said}" for answer in self.answers if not answer.good]

    def hit_share(self, since: float) -> float:
        """Share of hits among known texts answered since a time in seconds since the epoch; 0 where there are none."""
        known = [answer for answer in self.answers if answer.known and answer.at >= since]
        return sum(answer.hit for answer in known) / len(known) if known else 0.0

    def summary(self) -> str:
        """All answers in one line."""
        answers = self.answers
        times = sorted(answer.duration_ms for answer in answers)
        median, p99, longest = (times[int(share * (len(times) - 1))] for share in (0.5, 0.99, 1))
        seconds = answers[-1].at - answers[0].at
        hits = sum(answer.hit for answer in answers) / len(answers)
        return (
            f"{len(answers)} requests in {seconds:.0f} s ({self.rate}/s asked for, {self._dropped} not sent in time): "
            f"{len(self.failures)} failed, {hits:.0%} hits, "
            f"median {median:.1f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms"
        )

    def __enter__(self) -> Self:
        """Start, and wait for the first answers."""
        self._process = subprocess.Popen(
            [
                find_program("k6"),
                "run",
                "--quiet",
                "--no-summary",
                "--no-usage-report",
                "--out",
                f"json={self._output}",
                _SCRIPT,
            ],
            env=os.environ | self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            until(lambda: self._alive() and self.answers, "the first answers", _START_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it: requests under way are given up, and are not counted.

        Raises:
            AssertionError: it had ended before, or nothing was answered any more: then no failure means nothing.
        """
        try:
            if error is None and self._alive():
                silent_s = time.time() - max(answer.at for answer in self.answers)
                assert silent_s < _SILENT_S, f"no request was over in the last {silent_s:.0f} s"
        finally:
            self._end()

    def _take(self, line: bytes) -> None:
        point = json.loads(line)
        if point["type"] != "Point":
            return
        data = point["data"]
        if point["metric"] == "dropped_iterations":
            self._dropped += int(data["value"])
        elif point["metric"] == "answer":
            tags = data["tags"]
            self._answers.append(
                Answer(
                    at=datetime.fromisoformat(data["time"]).timestamp(),
                    duration_ms=data["value"],
                    good=tags["good"] == "true",
                    known=tags["known"] == "true",
                    hit=tags["cache"] == "hit",
                    said=tags.get("said", ""),
                    model=tags.get("model", ""),
                    again=int(tags["again"]),
                )
            )

    def _alive(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            self._log.seek(0)
            msg = f"k6 ended with {code}: {self._log.read().decode(errors='replace')}"
            raise AssertionError(msg)
        return True

    def _end(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _ = self.answers
        self._log.close()
        self._folder.cleanup()
