"""Authorities and certificates for tests of TLS, made by the `openssl` program."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.programs import miss
from tests.service_process import HOST


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates.

    Attributes:
        certificate: its own, which those who trust it are given.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Make one; where there is no `openssl`, skip the test on a laptop and fail it in CI."""
        if shutil.which("openssl") is None:
            miss("apt-get install openssl")
        self._folder = folder
        self._name = name
        self._own = _make(folder, name, ["-x509", "-addext", "basicConstraints=critical,CA:TRUE"])
        self.certificate = self._own.certificate

    def sign(self, name: str) -> Certificate:
        """Make a certificate for this machine's loopback address."""
        request = ["-x509", "-CA", str(self._own.certificate), "-CAkey", str(self._own.key)]
        extensions = f"subjectAltName=IP:{HOST},DNS:localhost", "basicConstraints=critical,CA:FALSE"
        return _make(self._folder, f"{self._name}-{name}", [*request, *(f"-addext={part}" for part in extensions)])


def _make(folder: Path, name: str, options: list[str]) -> Certificate:
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-keyout", str(made.key), "-out", str(made.certificate), *options]
    subprocess.run(command, check=True, capture_output=True)
    return made
