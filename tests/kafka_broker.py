"""A real Kafka broker, one node in KRaft mode, on free ports of this machine."""

import os
import secrets
import shutil
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.architecture.source_rules import ROOT
from tests.certificates import Authority
from tests.service_process import HOST, eventually

JARS: Final = ROOT / ".tools" / "kafka" / "jars"
_CLUSTER: Final = "MkU3OEVBNTcwNTJENDM2Qk"
_START_S: Final = 120.0

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}{listeners}
advertised.listeners=PLAINTEXT://{host}:{port}{listeners}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
log.dirs={folder}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.partitions=4
"""

_SECURED: Final = """\
sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
    user_{user}="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
listener.name.ssl.ssl.client.auth=required
"""


@dataclass(frozen=True, slots=True)
class Security:
    """Who is let in: by user and password over TLS, and at another port by a certificate of the authority."""

    authority: Authority
    user: str = "mlapi"
    password: str = field(default_factory=partial(secrets.token_hex, 16))


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
        address: host and port where everybody is let in.
        sasl_address: the same for users with a password, over TLS; empty without `security`.
        certificate_address: the same for those with a certificate.
    """

    def __init__(self, folder: Path, security: Security | None = None) -> None:
        """Start one, with further listeners if there is `security`."""
        require_kafka()
        self._folder = folder
        self._port, controller, sasl, certificates = _free_ports(4)
        self.address = f"{HOST}:{self._port}"
        self.sasl_address = f"{HOST}:{sasl}" if security else ""
        self.certificate_address = f"{HOST}:{certificates}" if security else ""
        self._properties = folder / "server.properties"
        listeners = f",SASL_SSL://{self.sasl_address},SSL://{self.certificate_address}" if security else ""
        written = _PROPERTIES.format(
            host=HOST, port=self._port, controller=controller, folder=folder, listeners=listeners
        )
        users = []
        if security:
            own = security.authority.sign("broker")
            keys = folder / "broker-keys.pem"
            keys.write_bytes(_pkcs8(own.key) + own.certificate.read_bytes())
            written += _SECURED.format(
                user=security.user, password=security.password, keys=keys, authority=security.authority.certificate
            )
            users = ["--add-scram", f"SCRAM-SHA-512=[name={security.user},password={security.password}]"]
        self._properties.write_text(written, encoding="ascii")
        tool = ("kafka.tools.StorageTool", "format", "--cluster-id", _CLUSTER, *users, "--config")
        assert self._run(*tool).wait(_START_S) == 0, self._said
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

    @property
    def _said(self) -> str:
        return (self._folder / "kafka.log").read_text(encoding="utf-8")

    def _run(self, *command: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "kafka.log").open("ab") as log:
            return subprocess.Popen(
                ["java", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*", *command, str(self._properties)],
                stdout=log,
                stderr=log,
            )

    def _wait(self) -> None:
        def answers() -> bool:
            assert self._process.poll() is None, self._said
            with socket.socket() as trial:
                return trial.connect_ex((HOST, self._port)) == 0

        eventually(answers, "the broker listens", _START_S)


def _pkcs8(key: Path) -> bytes:
    """Return a private key in the form that Kafka reads."""
    command = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", str(key)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        found = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in found]
