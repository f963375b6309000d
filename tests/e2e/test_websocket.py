"""`{root}/stream`: the lines of `bulk-predict` over WebSocket, a message each."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from wsproto.frame_protocol import CloseReason

from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.problem_documents import assert_problem
from tests.e2e.websocket_client import WebSocketClient
from tests.service_process import ServiceProcess, eventually

PAGE = (b"Origin", b"https://app.example.com")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess(engine="fake", max_body_bytes="4000", cors_origins="https://app.example.com") as process:
        yield process
        assert process.complaints == []


def message(text: object) -> str:
    return json.dumps({"text": text})


def test_each_message_is_answered_as_a_body_in_order(service: ServiceProcess) -> None:
    root = "/project"
    texts = ["one", ["two", "three"], "caf\u00e9", *(f"number {number}" for number in range(500))]
    with WebSocketClient(service, path=f"{root}/stream?top_k=1") as client:
        assert client.status == 101
        assert client.headers["model-digest"] == service.client.get(f"{root}/model").json()["digest"]
        client.send(*map(message, texts))
        answers = [client.read() for _ in texts]
        client.close()
        assert client.read() == ""
    bodies = [service.client.post(f"{root}/predict?top_k=1", json={"text": text}).text for text in texts]
    assert answers == bodies


def test_a_bad_message_is_told_why_and_the_next_one_is_answered(service: ServiceProcess) -> None:
    with service.counting() as rises, WebSocketClient(service) as client:
        for bad, code in (("?", "invalid_json"), (message(7), "invalid_request"), (message(""), "invalid_request")):
            client.send(bad, message("good"))
            assert json.loads(client.read())["error"]["code"] == code
            assert "predictions" in json.loads(client.read())
        client.close()
        assert client.read() == ""
        eventually(lambda: not service.metric("mlapi_streams"), "the stream is over")
    assert rises['mlapi_stream_lines_total{model="project",result="refused"}'] == 3
    assert rises['mlapi_http_requests_total{method="GET",route="/project/stream",status="101"}'] == 1


def test_a_message_that_is_too_large_closes_the_connection(service: ServiceProcess) -> None:
    with WebSocketClient(service) as client:
        client.send(message("x" * 5_000))
        assert client.read() == ""
        assert client.close_code == CloseReason.MESSAGE_TOO_BIG


def test_pages_of_other_origins_may_not_connect(service: ServiceProcess) -> None:
    own = (b"Origin", b"http://test")
    for headers, status in (([], 101), ([own], 101), ([PAGE], 101), ([(b"Origin", b"https://evil.example")], 403)):
        with WebSocketClient(service, *headers) as client:
            assert client.status == status


def test_what_is_no_handshake_is_told_to_upgrade(service: ServiceProcess) -> None:
    answer = service.client.get("/project/stream")
    assert_problem(answer, 426, answer.status_code, "upgrade_required", [])
    assert answer.headers["upgrade"] == "websocket"
    for path in ("/project/predict", "/project/model"):
        with WebSocketClient(service, path=path) as client:  # an offer that is declined
            assert client.status in {200, 405}


def test_a_bad_option_refuses_the_handshake(service: ServiceProcess) -> None:
    for path, headers, status in (
        ("/project/stream?topk=1", [], 422),
        ("/project/stream", [(b"Model-Digest", b"0123456789ab")], 409),
    ):
        with WebSocketClient(service, *headers, path=path) as client:
            assert client.status == status


def test_a_process_that_stops_says_that_it_goes_away() -> None:
    with ServiceProcess(engine="fake") as service, WebSocketClient(service) as client:
        client.send(message("before"))
        assert "predictions" in json.loads(client.read())
        service.send_signal(signal.SIGTERM)
        assert json.loads(client.read())["error"]["code"] == "draining"
        assert client.read() == ""
        assert client.close_code == CloseReason.GOING_AWAY
        client.socket.close()
        assert service.wait(10) == 0
        assert service.complaints == []


def test_a_connection_needs_a_key_that_holds(tmp_path: Path) -> None:
    keys = KeysFile(tmp_path)
    key, admin = keys.add("shop"), keys.add("operator", scopes=["admin"])
    with ServiceProcess(engine="fake", keys_file=str(keys.path)) as service:
        with WebSocketClient(service) as client:
            assert client.status == 401
        with WebSocketClient(service, (b"Authorization", f"Bearer {admin}".encode())) as client:
            assert client.status == 403
        with WebSocketClient(service, (b"Authorization", f"Bearer {key}".encode())) as client:
            client.send(message("a"))
            assert "predictions" in json.loads(client.read())
            keys.remove(key)
            eventually(lambda: service.predict("a", headers=bearer(key)).status_code == 401, "the key is gone")
            client.send(message("b"))
            assert json.loads(client.read())["error"]["code"] == "unauthorized"
            assert client.read() == ""
            assert client.close_code == CloseReason.POLICY_VIOLATION
        assert service.complaints == []
