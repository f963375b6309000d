"""What `make monitor` runs: Prometheus and Alertmanager, watching the service on this machine with the project's rules.

Without a container engine there is no Grafana to start; `compose.yaml` has it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tools.private_redis import tethered
from tools.programs import find_program

MONITORING: Final = Path(__file__).resolve().parent.parent / "monitoring"

_HOST: Final = "127.0.0.1"
_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 10.0
_HINT: Final = "`make tools` builds it (minutes), and Debian has it: apt-get install prometheus prometheus-alertmanager"


class StartError(Exception):
    """A program did not get ready; the message holds the end of what it wrote."""


def prometheus_config(service: str, alertmanager: str | None) -> dict[str, Any]:
    """Return the stack's configuration for programs on this machine.

    Args:
        service: host and port to scrape.
        alertmanager: host and port that alerts go to, if any.
    """
    config: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yaml").read_text(encoding="utf-8"))
    config["rule_files"] = [str(MONITORING / "rules" / "*.yaml")]
    config["scrape_configs"] = [
        job | {"static_configs": [{"targets": [service]}]}
        for job in config["scrape_configs"]
        if job["job_name"] == "mlapi"
    ]
    if alertmanager:
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    else:
        del config["alerting"]
    return config


@contextmanager
def running_prometheus(program: str, config: dict[str, Any], folder: Path, port: int) -> Iterator[str]:
    """Run Prometheus with its files in this folder; yields its URL once it is ready.

    Raises:
        StartError: it is not ready in time.
    """
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    data = folder / "prometheus"
    command = [program, f"--config.file={file}", f"--storage.tsdb.path={data}", f"--web.listen-address={_HOST}:{port}"]
    with _running(command, folder / "prometheus.log", port) as url:
        yield url


@contextmanager
def running_alertmanager(program: str, folder: Path, port: int) -> Iterator[str]:
    """Run Alertmanager with its files in this folder, alone; yields its URL once it is ready.

    Raises:
        StartError: it is not ready in time.
    """
    command = [
        program,
        f"--config.file={MONITORING / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={_HOST}:{port}",
        "--cluster.listen-address=",
    ]
    with _running(command, folder / "alertmanager.log", port) as url:
        yield url


@contextmanager
def _running(command: list[str], log: Path, port: int) -> Iterator[str]:
    url = f"http://{_HOST}:{port}"
    with log.open("wb") as output:
        process = tethered(command, signal.SIGTERM, dict(os.environ), output=output)
    try:
        give_up_at = time.monotonic() + _START_TIMEOUT_S
        while not _answers(f"{url}/-/ready"):
            if process.poll() is not None or time.monotonic() > give_up_at:
                said = log.read_text(encoding="utf-8", errors="replace")[-500:]
                msg = f"{command[0]} did not get ready: {said}"
                raise StartError(msg)
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0):  # noqa: S310  the address is made above
            return True
    except OSError:
        return False


def main() -> int:
    """Run what there is until a signal; 1 when there is nothing to run."""
    prometheus, alertmanager = find_program("prometheus"), find_program("alertmanager")
    if prometheus is None:
        sys.stderr.write(f"no prometheus: {_HINT}\nWith a container engine: docker compose up\n")
        return 1
    service = f"{_HOST}:{os.environ.get('MLAPI_PORT', '8000')}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack, _until_interrupted():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        alerts = None
        if alertmanager is None:
            sys.stderr.write(f"no alertmanager, so alerts are shown by Prometheus only: {_HINT}\n")
        else:
            alerts = stack.enter_context(running_alertmanager(str(alertmanager), folder, 9093))
        config = prometheus_config(service, alerts.removeprefix("http://") if alerts else None)
        url = stack.enter_context(running_prometheus(str(prometheus), config, folder, 9090))
        if not _answers(f"http://{service}/livez"):
            sys.stderr.write(f"nothing answers at {service} yet: `make run` in another terminal\n")
        lines = [f"Prometheus    {url}/alerts"]
        lines += [f"Alertmanager  {alerts}"] if alerts else []
        lines += [
            "Grafana       not started: docker compose up, or import .k8s/components/monitoring/dashboards/*.json"
        ]
        sys.stdout.write("\n".join([*lines, "Ctrl-C stops them", ""]))
        sys.stdout.flush()
        signal.pause()
    return 0


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stdout.write("\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as error:
        sys.exit(str(error))
