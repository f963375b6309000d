"""The processes that are soaked: one that lives as long as the soak, and one that is replaced again and again."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from soak.ledger import Ledger
from soak.relay import Relay
from tests.service_process import ServiceProcess

_STOP_S: Final = 60.0
_EXPECTED: Final = "the keys file cannot be used"
"""What the log says of a fault that `Faults` injects."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Use(NamedTuple):
    """What a process holds: bytes in memory, and open file descriptors."""

    memory: int
    descriptors: int


def use_of(pid: int) -> Use:
    """Look at a process."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text(encoding="ascii").split()[1])
    return Use(pages * _PAGE, len([*(process / "fd").iterdir()]))


class Fleet:
    """Two processes behind one address.

    Attributes:
        elder: the one that lives as long as the soak.
        other: the one that is replaced.
        door: the address.
        replaced: how often that was done.
    """

    def __init__(self, settings: Mapping[str, str], ledger: Ledger) -> None:
        """Take the settings of both."""
        self._settings = settings
        self._ledger = ledger
        self.elder: ServiceProcess
        self.other: ServiceProcess
        self.door = Relay(())
        self.replaced = 0

    async def start(self) -> None:
        """Start both."""
        self.elder = await self._begin()
        self.other = await self._begin()
        self.door.targets = [self.elder.port, self.other.port]
        await self.door.start()

    async def replace(self) -> str:
        """Replace a process as a rollout does: start another, and stop the first with SIGTERM under load.

        Returns:
            What became of it.
        """
        old, new = self.other, await self._begin()
        self.door.targets = [self.elder.port, new.port]
        self.other = new
        await self._look_for_failures(old)
        # It goes on serving for a while, and says on each answer that its connection ends.
        old.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(old.wait, _STOP_S)
        self.replaced += 1
        await self._end(old)
        return f"process {old.pid} ended with {code}"

    async def stop(self) -> None:
        """Stop both, and see to it that they ended well and complained of nothing."""
        for process in (self.elder, self.other):
            await self._look_for_failures(process)
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, _STOP_S)
            await self._end(process)
        self.door.close()

    def kill(self) -> None:
        """End what still runs, after a soak that broke."""
        for process in (getattr(self, "elder", None), getattr(self, "other", None)):
            if process is not None and process.exit_code is None:
                process.send_signal(signal.SIGKILL)
                process.wait(_STOP_S)

    async def metric(self, name: str, **labels: str) -> float:
        """Return a metric of the process that stays."""
        return await asyncio.to_thread(self.elder.metric, name, **labels)

    async def _begin(self) -> ServiceProcess:
        return await asyncio.to_thread(
            lambda: ServiceProcess(environment=None, module="mlapi", command=("serve",), **self._settings)
        )

    async def _look_for_failures(self, process: ServiceProcess) -> None:
        for name, value in (await asyncio.to_thread(process.samples)).items():
            if name.startswith("mlapi_http_requests_total") and 'status="500"' in name and value:
                self._ledger.fail("500", f"{name} {value:g}")

    async def _end(self, process: ServiceProcess) -> None:
        if process.exit_code:
            self._ledger.fail("exit code", f"process {process.pid} ended with {process.exit_code}")
        for line in process.complaints:
            if _EXPECTED not in line:
                self._ledger.fail("complaint in the log", line)
        with suppress(AssertionError):  # of its exit code, which was noted above
            await asyncio.to_thread(process.__exit__, None, None, None)
