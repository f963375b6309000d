"""Where the process listens: on both families by default, else exactly where it was told to."""

import http.client
import socket

import pytest

from tests.service_process import HOST, ServiceProcess, run_mlapi

BODY = '{"text":["asked for by either family"]}'


def reaches(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


def ask(host: str, port: int) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("POST", "/project/predict", BODY, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.status, response.getheader("cache-status")
    finally:
        connection.close()


def test_the_default_is_both_families_and_the_log_names_addresses_to_open() -> None:
    with ServiceProcess(engine="fake", host="::", client_texts_per_s="0.05") as service:
        assert f"listening on http://127.0.0.1:{service.port} and http://[::1]:{service.port}" in service.log
        assert ask("127.0.0.1", service.port)[0] == 200
        status, cache_status = ask("::1", service.port)
        assert status == 200
        assert cache_status is not None
        assert cache_status.startswith("mlapi; hit")
        # Each has had a share of its own.
        assert [ask(host, service.port)[0] for host in ("127.0.0.1", "::1")] == [429, 429]


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", {"127.0.0.1"}), ("::1", {"::1"})],  # noqa: S104  what a user may set
)
def test_an_explicit_host_is_honoured_exactly(host: str, reached: set[str]) -> None:
    with ServiceProcess(engine="fake", host=host) as service:
        assert {address for address in ("127.0.0.1", "::1") if reaches(address, service.port)} == reached
        assert service.predict("served there").status_code == 200


def test_a_taken_port_ends_the_start_in_one_line() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_mlapi("serve", settings={"MLAPI_ENGINE": "fake", "MLAPI_PORT": port})
        assert done.returncode == 3
        assert f"cannot listen on port {port}: address already in use" in done.stderr.lower()
        assert "Traceback" not in done.stderr
