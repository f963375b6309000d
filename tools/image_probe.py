"""Examines the image that it runs in: what is in it, what may be written, and whether it serves.

It is piped into the image's Python, so that it needs no port, no network and no file in the image:

    docker run --rm --interactive --read-only --cap-drop ALL --network none --user 54321:54321 \
        --entrypoint python IMAGE - < tools/image_probe.py

Exit codes: 0 all is as it should be, 1 it is not and the last line says what.
"""

import http.client
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

PORT: Final = 8000
LAB: Final = "/app/models/tfidf-logreg-sst2"
START_S: Final = 120.0
"""Far more than it takes; the machine may be busy building."""

UNCHECKED: Final = 0b01

NO_PACKAGES: Final = ("ensurepip", "nncf", "openvino_telemetry", "pip", "poetry", "setuptools")
NO_PACKAGES_WITHOUT_PYTORCH: Final = ("huggingface_hub", "torch", "transformers")
NO_PROGRAMS: Final = ("c++", "cc", "gcc", "git", "ld", "make", "pip", "pip3", "poetry")
NOT_TO_BE_WRITTEN: Final = ("/", "/app", "/opt/mlapi", "/usr/local", sys.prefix, sys.base_prefix)


def contents(*, pytorch: bool) -> Iterator[str]:
    """Yield what the image should not hold, or lacks."""
    names = NO_PACKAGES if pytorch else NO_PACKAGES + NO_PACKAGES_WITHOUT_PYTORCH
    yield from (f"the package {name} is there" for name in names if find_spec(name))
    yield from (f"the program {name} is there" for name in NO_PROGRAMS if shutil.which(name))
    if pytorch:
        yield from unusable("torch", "transformers")
    libraries = sorted(path.name for path in Path(sys.prefix).rglob("openvino/libs/*plugin*"))
    if [name for name in libraries if "cpu_plugin" not in name] or len(libraries) != 1:
        yield f"OpenVINO's plugins are {libraries}, not the one for processors"


def unusable(*names: str) -> Iterator[str]:
    """Yield what cannot be imported."""
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            yield f"{name} cannot be imported: {error}"


def bytecode() -> Iterator[str]:
    """Yield what the service imports without bytecode: it would be compiled again at every start."""
    modules = ("cli.serve", "engines.linear", "engines.openvino", "server.draining", "app")
    for name in (f"mlapi.{module}" for module in modules):
        import_module(name)

    for name, module in sorted(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.cached and not usable(Path(spec.origin), Path(spec.cached)):
            yield f"{name} has no bytecode that can be used"


def usable(source: Path, compiled: Path) -> bool:
    """Tell whether the interpreter takes the bytecode as it is (PEP 552)."""
    if not compiled.is_file():
        return False
    header: tuple[int, int, int] = struct.unpack("<4xIII", compiled.read_bytes()[:16])
    flags, modified, size = header
    if flags:
        return flags == UNCHECKED
    found = source.stat()
    return (modified, size) == (int(found.st_mtime), found.st_size)


def identity() -> Iterator[str]:
    """Yield what this process may do that it should not."""
    if os.getuid() == 0:
        yield "it runs as root"
    for folder in NOT_TO_BE_WRITTEN:
        try:
            with tempfile.TemporaryFile(dir=folder):
                yield f"{folder} can be written to"
        except OSError:
            continue


def serving(bundle: str) -> Iterator[str]:
    """Start the service as the image's entry point does, ask it twice, and stop it; yield what goes wrong."""
    settings = {
        "MLAPI_BUNDLE": bundle,
        "MLAPI_HOST": "127.0.0.1",
        "MLAPI_PORT": str(PORT),
        "MLAPI_REDIS_URL": "",
        "MLAPI_DRAIN_S": "0",
    }
    began = time.monotonic()
    service = subprocess.Popen(["mlapi", "serve"], env=os.environ | settings)  # noqa: S607  as the entry point does
    try:
        connection = connect(service, began + START_S)
        if connection is None:
            yield f"the service does not answer; its exit code is {service.poll()}"
            return
        say(f"ready after {time.monotonic() - began:.2f} s")
        answers = [predict(connection) for _ in range(2)]
        for status, cache, body in answers:
            say(f"{status} {cache} {body.decode()}")
            if status != http.HTTPStatus.OK:
                yield f"a prediction is answered with {status}"
        if "fwd=miss" not in answers[0][1] or "; hit" not in answers[1][1] or answers[0][2] != answers[1][2]:
            yield "the second answer is not the first one, from the cache"
        service.send_signal(signal.SIGTERM)
        if service.wait(START_S):
            yield f"asked to stop, the service ends with {service.returncode}"
    finally:
        service.kill()


def served_bundles() -> Iterator[str]:
    """Serve the image's own model, and the small one beside it."""
    for bundle in (os.environ["MLAPI_BUNDLE"], LAB):
        say(f"serving {bundle}")
        yield from serving(bundle)


def connect(service: "subprocess.Popen[bytes]", give_up_at: float) -> http.client.HTTPConnection | None:
    """Return a connection to the service once it is ready; None when it has ended, or at `give_up_at`."""
    while service.poll() is None and time.monotonic() < give_up_at:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=START_S)
        try:
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            response.read()
        except OSError:
            time.sleep(0.05)
            continue
        if response.status == http.HTTPStatus.OK:
            return connection
    return None


def predict(connection: http.client.HTTPConnection) -> tuple[int, str, bytes]:
    """Ask for a prediction; return its status, its `Cache-Status` and its body."""
    body = json.dumps({"text": ["This movie was fantastic!", "Terrible waste of time"]})
    connection.request("POST", "/project/predict", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    return response.status, response.getheader("Cache-Status", ""), response.read()


def say(line: str) -> None:
    """Write a line at once: the service writes to the same place."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(flavour: str) -> int:
    """Examine everything and say what is wrong; return the exit code."""
    wrong = [*contents(pytorch=flavour == "torch"), *identity(), *bytecode(), *served_bundles()]
    for line in wrong:
        say(f"wrong: {line}")
    say("the image is not as it should be" if wrong else "the image is as it should be")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["serve"]))
