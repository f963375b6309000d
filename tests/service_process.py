"""The service as its users have it: `mlapi serve` in a process of its own, on a free loopback port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")

HOST: Final = "127.0.0.1"
_START_S: Final = 60.0
_STOP_S: Final = 20.0
_PAUSE_S: Final = 0.01
_RUNNING: Final = re.compile(r"listening on (http://\S+:(\d+))")


def eventually(condition: Callable[[], T], what: str, timeout_s: float = 10.0) -> T:
    """Return the condition's value as soon as it is truthy; fail when that takes longer than `timeout_s` seconds."""
    give_up_at = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < give_up_at, f"after {timeout_s:g} s still not: {what}"
        threading.Event().wait(_PAUSE_S)
    return value


def mlapi_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with exactly these `MLAPI_*` settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MLAPI_", "OTEL_"))}
    return inherited | dict(settings)


def run_mlapi(
    *arguments: str, settings: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> "subprocess.CompletedProcess[str]":
    """Run `mlapi` with these arguments to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mlapi", *arguments],
        env=mlapi_environment(settings or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class ServiceProcess:
    """One running `mlapi serve`; a context manager that stops it, and fails if it broke or complained on the way.

    Attributes:
        pid: its process id.
        url: where it listens, without a slash at the end.
        port: of that.
        root: its root path.
        client: an HTTP client of it.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        module: str = "mlapi",
        command: Sequence[str] = ("serve",),
        **settings: str,
    ) -> None:
        """Start it and wait until it is ready.

        Args:
            module: what has its command line.
            command: what it is told to do.
            environment: variables beside the settings.
            settings: `MLAPI_*` settings by their names without the prefix, in lower case. By default it has no Redis,
                is the only one on its port, and stops without a time to drain.
        """
        chosen = {"host": HOST, "port": "0", "drain_s": "0"} | settings
        self.root = chosen.get("root_path", "/project")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *command],
            env=mlapi_environment(
                {f"MLAPI_{name.upper()}": value for name, value in chosen.items()} | dict(environment or {})
            ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self._process.pid
        try:
            self.url, port = eventually(self._find_address, f"listening; it said:\n{self.log}", _START_S)
            self.port = int(port)
            self.client = httpx.Client(base_url=self.url, timeout=30.0)
            eventually(lambda: self.client.get("/readyz").is_success, "ready")
        except BaseException:
            self._end()
            raise

    @property
    def log(self) -> str:
        """What it wrote so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    @property
    def complaints(self) -> list[str]:
        """What it wrote that is neither information nor a warning, tracebacks included."""
        return [line for line in self.log.splitlines() if not _harmless(line)]

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    @property
    def peak_memory(self) -> int:
        """The most bytes that it had resident, since its start or `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def forget_peak(self) -> None:
        """Begin to measure `peak_memory` anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Return its exit code once it has ended."""
        return self._process.wait(timeout_s)

    def predict(
        self, text: str | Sequence[str], *, query: str = "", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """POST texts to `/predict`."""
        return self.client.post(f"{self.root}/predict{query}", json={"text": text}, headers=headers)

    def connect(self, timeout_s: float = 10.0) -> socket.socket:
        """Open a connection to write raw bytes to."""
        return socket.create_connection((HOST, self.port), timeout=timeout_s)

    def samples(self) -> dict[str, float]:
        """Return all metrics as they are exposed, such as `mlapi_texts_total{source="l1"}`, labels sorted by name."""
        return {
            _series(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with at least these labels; 0 where there is none yet."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @contextmanager
    def counting(self) -> Iterator[dict[str, float]]:
        """Yield a dictionary that holds, after the block, by how much each sample rose, those that did not left out."""
        rises: dict[str, float] = {}
        before = self.samples()
        yield rises
        rises |= {
            name: value - before.get(name, 0.0)
            for name, value in self.samples().items()
            if value != before.get(name, 0.0)
        }

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it unless it has ended; where the block went well, it must end well too."""
        self.client.close()
        if self.exit_code is None:
            self.send_signal(signal.SIGTERM)
        log = self._end()
        if kind is None:
            assert self.exit_code == 0, f"it ended with {self.exit_code} and wrote:\n{log}"
        else:
            sys.stderr.write(f"mlapi serve, process {self.pid}, wrote:\n{log}")

    def _find_address(self) -> tuple[str, ...]:
        found = _RUNNING.search(self.log)
        assert found or self.exit_code is None, f"it ended with {self.exit_code}:\n{self.log}"
        return found.groups() if found else ()

    def _end(self) -> str:
        """See to it that it is gone; returns all that it wrote."""
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        log = self.log
        self._log.close()
        return log


def _series(name: str, labels: Mapping[str, str]) -> str:
    written = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels))
    return f"{name}{{{written}}}" if written else name


def _harmless(line: str) -> bool:
    try:
        level = json.loads(line)["level"]
    except (ValueError, KeyError, TypeError):
        return False
    return level in {"DEBUG", "INFO", "WARNING"}
