"""Requests that go on in the background while a test does something to the service, and what became of them."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import httpx

from tests.service_process import ServiceProcess

_REQUEST_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.002


@dataclass(slots=True)
class Traffic:
    """Clients that predict the same texts over and over; a context manager that stops them.

    Attributes:
        latencies: seconds that each request took.
        failures: what was not the right answer: another status, another body, a connection that broke.
    """

    service: ServiceProcess
    texts: Sequence[str]
    clients: int = 4
    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _expected: dict[str, bytes] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """How many requests were answered so far."""
        return len(self.latencies)

    def __enter__(self) -> Self:
        """Learn the right answers, and start."""
        self._expected = {text: self.service.predict(text).content for text in self.texts}
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish the requests under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, turn: int) -> None:
        with httpx.Client(timeout=_REQUEST_TIMEOUT_S) as client:
            while not self._stop.is_set():
                turn += 1
                text = self.texts[turn % len(self.texts)]
                began = time.monotonic()
                try:
                    response = client.post(f"{self.service.url}{self.service.root}/predict", json={"text": text})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                else:
                    self.latencies.append(time.monotonic() - began)
                    if response.content != self._expected[text]:
                        self.failures.append(f"{response.status_code} {response.text}")
                self._stop.wait(_PAUSE_S)
