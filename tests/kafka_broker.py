"""A real Kafka broker, one node in KRaft mode, on free ports of this machine."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.architecture.source_rules import ROOT
from tests.service_process import HOST, eventually

JARS: Final = ROOT / ".tools" / "kafka" / "jars"
_CLUSTER: Final = "MkU3OEVBNTcwNTJENDM2Qk"
_START_S: Final = 120.0

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.partitions=4
"""


def require_kafka() -> None:
    """Skip where there is no broker to start; fail in CI."""
    if shutil.which("java") is None or not JARS.is_dir():
        reason = "no Kafka broker: tools/kafka.sh fetches it, and java runs it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


class KafkaBroker:
    """One broker; a context manager that stops it.

    Attributes:
        address: host and port.
    """

    def __init__(self, folder: Path) -> None:
        require_kafka()
        self._folder = folder
        self._port, controller = _free_ports()
        self.address = f"{HOST}:{self._port}"
        self._properties = folder / "server.properties"
        written = _PROPERTIES.format(host=HOST, port=self._port, controller=controller, folder=folder)
        self._properties.write_text(written, encoding="ascii")
        self._run("kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, "--config").wait(_START_S)
        self._process = self._run("kafka.Kafka")
        self._wait()

    def restart(self) -> None:
        """Kill it, and start it again with what it has on its disk."""
        self._process.kill()
        self._process.wait()
        self._process = self._run("kafka.Kafka")
        self._wait()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Kill it: nobody needs what it holds."""
        self._process.kill()
        self._process.wait()

    def _run(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "kafka.log").open("ab") as log:
            return subprocess.Popen(
                ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", *command, str(self._properties)],
                stdout=log,
                stderr=log,
            )

    def _wait(self) -> None:
        def answers() -> bool:
            assert self._process.poll() is None, (self._folder / "kafka.log").read_text(encoding="utf-8")
            with socket.socket() as trial:
                return trial.connect_ex((HOST, self._port)) == 0

        eventually(answers, "the broker listens", _START_S)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind((HOST, 0))
        second.bind((HOST, 0))
        return first.getsockname()[1], second.getsockname()[1]
