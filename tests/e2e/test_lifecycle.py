"""How the process starts, stops, and refuses to start."""

import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from mlapi.settings import DEFAULT_BUNDLE
from tests.e2e.raw_http import RawConnection, post
from tests.e2e.traffic import Traffic
from tests.service_process import HOST, ServiceProcess, eventually, run_mlapi

BODY = b'{"text":["accepted before the end"]}'

MANY_LARGE_ANSWERS = post(b'{"text":["a"' + b',"a"' * 999 + b"]}") * 400
"""Tens of megabytes, more than the kernel keeps for a client that does not read."""


def refuses_connections(service: ServiceProcess) -> bool:
    try:
        service.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def end(service: ServiceProcess, timeout_s: float) -> float:
    """Wait until it has ended with exit code 0, and return how many seconds that took."""
    began = time.monotonic()
    assert service.wait(timeout_s) == 0, service.log
    return time.monotonic() - began


def test_a_sigterm_under_load_fails_no_request() -> None:
    drain_s = 2.0
    with ServiceProcess(engine="fake", drain_s=str(drain_s)) as service:
        texts = [f"asked for during the drain, number {number}" for number in range(20)]
        with Traffic(service, texts) as traffic:
            eventually(lambda: traffic.answered > 50, "answers before the signal")
            began = time.monotonic()
            service.send_signal(signal.SIGTERM)
            eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == 503, "not ready", 1)
            assert httpx.get(f"{service.url}/readyz").text == "draining\n"
            assert service.metric("mlapi_ready") == 0
            answered = traffic.answered
            eventually(lambda: traffic.answered > answered + 50, "answers during the drain", drain_s)
            assert service.exit_code is None
            assert httpx.get(f"{service.url}/livez").status_code == 200
            assert httpx.get(f"{service.url}/project/health").status_code == 200
        assert traffic.failures == []
        end(service, 10)
        assert drain_s <= time.monotonic() - began < drain_s + 3
        assert service.complaints == []


def test_answers_during_the_drain_ask_for_another_connection() -> None:
    with ServiceProcess(engine="fake", drain_s="10") as service, RawConnection(service) as connection:
        assert "connection" not in connection.ask(post(BODY)).headers
        service.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{service.url}/readyz").status_code == 503, "not ready")
        answer = connection.ask(post(BODY))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert connection.is_closed()
        service.send_signal(signal.SIGTERM)
        assert end(service, 10) < 5, "the second signal ends the drain"


def test_what_was_accepted_is_answered_after_the_socket_is_closed() -> None:
    with (
        ServiceProcess(engine="fake", drain_s="0") as service,
        RawConnection(service) as early,
        RawConnection(service) as chunked,
        RawConnection(service) as idle,
    ):
        assert idle.ask(post(BODY)).status == 200
        early.send(post(BODY)[:-5])
        chunked.send(b"POST /project/predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
        service.send_signal(signal.SIGTERM)
        eventually(lambda: refuses_connections(service), "the socket is closed")
        assert idle.is_closed()
        early.send(post(BODY)[-5:])
        chunked.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY) - 1, BODY[1:]))
        answers = [early.read(), chunked.read()]
        assert [answer.status for answer in answers] == [200, 200]
        assert [answer.headers["connection"] for answer in answers] == ["close", "close"]
        end(service, 10)
        assert service.complaints == []


def test_work_under_way_in_the_model_is_finished() -> None:
    with ServiceProcess(threads="1", drain_s="0", deadline_s="60") as service, RawConnection(service) as connection:
        texts = [f"number {number} of a request that takes the model a while " * 4 for number in range(400)]
        connection.send(post(json.dumps({"text": texts}).encode()))
        eventually(lambda: service.metric("mlapi_batch_texts_sum") > 0, "the model at work")
        assert service.metric("mlapi_queue_tokens") > 0
        service.send_signal(signal.SIGTERM)
        answer = connection.read()
        assert answer.status == 200
        assert len(answer.json()["predictions"]) == len(texts)
        end(service, 10)
        assert service.complaints == []


def test_an_interrupt_does_not_wait_for_the_drain() -> None:
    with ServiceProcess(engine="fake", drain_s="600") as service:
        service.send_signal(signal.SIGINT)
        assert end(service, 10) < 5
        assert service.complaints == []


def is_at_rest(service: ServiceProcess) -> bool:
    """Tell whether no request is answered for a while, other than this question."""

    def answered() -> float:
        return service.metric("mlapi_http_requests_total", method="POST", route="/project/predict", status="200")

    before = answered()
    threading.Event().wait(0.3)
    return answered() == before


@pytest.mark.parametrize(
    "request_bytes",
    [post(BODY)[:-5], b"GET /project/health HTTP/1.1\r\nX-Slow: ", MANY_LARGE_ANSWERS],
    ids=["half a body", "half a head", "answers nobody reads"],
)
def test_a_client_that_does_nothing_does_not_hold_up_the_end(request_bytes: bytes) -> None:
    deadline_s = 1.0
    with ServiceProcess(engine="fake", deadline_s=str(deadline_s)) as service, RawConnection(service) as connection:
        connection.send(request_bytes)
        eventually(lambda: is_at_rest(service), "the service can do no more")
        service.send_signal(signal.SIGTERM)
        # The deadline, and the grace that the process has beyond it.
        assert end(service, 20) < deadline_s + 6


def test_a_start_without_redis_serves() -> None:
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        port = nobody.getsockname()[1]
        with ServiceProcess(engine="fake", redis_url=f"redis://{HOST}:{port}/0") as service:
            assert service.predict("served without Redis").status_code == 200
            assert service.client.get("/readyz").text == "ready\n"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"MLAPI_PRT": "1"}, "MLAPI_PRT is not a setting; did you mean MLAPI_PORT?"),
        ({"MLAPI_PORT": "http"}, "MLAPI_PORT='http'"),
        ({"MLAPI_PORT": "70000"}, "MLAPI_PORT='70000'"),
        ({"MLAPI_DEADLINE_S": "0"}, "MLAPI_DEADLINE_S='0'"),
        ({"MLAPI_DEADLINE_S": "nan"}, "MLAPI_DEADLINE_S='nan'"),
        ({"MLAPI_ROOT_PATH": "project/"}, "MLAPI_ROOT_PATH='project/'"),
        ({"MLAPI_REDIS_URL": "localhost:6379"}, "MLAPI_REDIS_URL: Value error, must be empty, or a URL like redis://"),
        ({"MLAPI_LOG_LEVEL": "loud"}, "must be one of debug, info, warning, error, critical"),
        ({"MLAPI_PORT": "tcp://10.0.0.1:8000"}, "enableServiceLinks: false"),
    ],
    ids=["unknown", "not a number", "out of bounds", "zero", "NaN", "root path", "Redis URL", "level", "service link"],
)
def test_a_wrong_setting_is_exit_code_2_and_one_message(settings: dict[str, str], said: str) -> None:
    done = run_mlapi("serve", settings=settings)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("mlapi: ")


def test_all_wrong_settings_are_named_at_once() -> None:
    done = run_mlapi("serve", settings={"MLAPI_PORT": "x", "MLAPI_L1_BYTES": "-1", "MLAPI_NONSENSE": "1"})
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("MLAPI_PORT", "MLAPI_L1_BYTES", "MLAPI_NONSENSE"))


def flip_last_byte(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (shutil.rmtree, "is not a model bundle"),
        (lambda folder: (folder / "bundle.json").unlink(), "is not a model bundle"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "bundle.json cannot be read"),
        (lambda folder: (folder / "bundle.json").write_text('{"schema": 99}'), "this version reads schema 1"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: No such file or directory"),
        (lambda folder: os.truncate(folder / "tokenizer.json", 1000), "has 1000 bytes, its manifest says"),
        (lambda folder: flip_last_byte(folder / "tokenizer.json"), "was changed: sha256"),
    ],
    ids=[
        "no folder",
        "no manifest",
        "half a manifest",
        "another schema",
        "no tokenizer",
        "a cut file",
        "a changed file",
    ],
)
def test_a_damaged_bundle_stops_the_start_and_says_why(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder = shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle")
    damage(folder)
    done = run_mlapi("serve", settings={"MLAPI_BUNDLE": str(folder), "MLAPI_PORT": "0", "MLAPI_ENGINE": "fake"})
    assert done.returncode == 3
    reasons = [line["message"] for line in map(json.loads, done.stderr.splitlines()) if line["logger"] == "mlapi.app"]
    assert len(reasons) == 1
    assert reasons[0].startswith("cannot start: ")
    assert said in reasons[0]


def test_an_unknown_engine_stops_the_start_and_says_which_there_are() -> None:
    done = run_mlapi("serve", settings={"MLAPI_ENGINE": "abacus", "MLAPI_PORT": "0"})
    assert done.returncode == 3
    assert "there is no engine 'abacus'; choose one of fake, linear, openvino, torch" in done.stderr


def test_a_port_in_use_stops_the_start_and_says_so() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_mlapi("serve", settings={"MLAPI_ENGINE": "fake", "MLAPI_HOST": HOST, "MLAPI_PORT": port})
    assert done.returncode == 3
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
