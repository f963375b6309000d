"""Commands that ask a model or a service refuse options that they would have to leave out of account."""

import json
import socket
from pathlib import Path

import pytest

from mlapi.settings import LAB_BUNDLE
from tests.command_line import mlapi

URL = "http://127.0.0.1:1/project"
CONSUME = ("consume", "--brokers", "127.0.0.1:1")


def bulk(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    (tmp_path / "in.txt").write_text("good\n", encoding="utf-8")
    return mlapi({"bundle": str(LAB_BUNDLE)}, "bulk", str(tmp_path / "in.txt"), str(tmp_path / "out.jsonl"), *arguments)


def test_a_service_and_a_model_are_not_asked_together(tmp_path: Path) -> None:
    for code, said in (
        bulk(tmp_path, "--server", URL, "--model", "lab"),
        mlapi({}, *CONSUME, "--in", "a", "--out", "b", "--server", URL, "--model", "lab"),
    ):
        assert (code, "--server and --model cannot be given together" in said) == (2, True), said


def test_a_key_is_for_a_service(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("mlapi_a_b\n", encoding="utf-8")
    for code, said in (
        bulk(tmp_path, "--key-file", str(key)),
        mlapi({"bundle": str(LAB_BUNDLE)}, *CONSUME, "--in", "a", "--out", "b", "--key-file", str(key)),
    ):
        assert (code, "--key-file is of use with --server only" in said) == (2, True), said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "there is no API key on its first line"),
        (b"\nmlapi_a_b\n", "there is no API key on its first line"),
        ("mlapi_ä".encode(), "has only characters of ASCII"),
    ],
)
def test_a_file_without_a_key_is_not_taken_for_none(tmp_path: Path, content: bytes, reason: str) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    option = ("--key-file", str(key))
    for code, said in (
        bulk(tmp_path, "--server", URL, "--patience", "0", *option),
        mlapi({}, "bench", URL, *option),
        mlapi({}, "rollout", "warm", "--from", "http://127.0.0.1:1/a", "--to", "http://127.0.0.1:1/b", *option),
    ):
        assert (code, f"--key-file {key}" in said, reason in said) == (2, True, True), said


@pytest.mark.parametrize("topics", [("a", "a"), ("a", "b", "--dead-letters", "a")])
def test_a_topic_is_not_read_and_written(topics: tuple[str, ...]) -> None:
    source, target, *more = topics
    code, said = mlapi({}, *CONSUME, "--in", source, "--out", target, *more)
    assert (code, "a would be read and written" in said) == (2, True), said


@pytest.mark.parametrize(
    ("brokers", "security", "said"),
    [
        ("127.0.0.1:port", {}, "--brokers 127.0.0.1:port, or --kafka-file: "),
        ("127.0.0.1:1", {"security_protocol": "TLS"}, "--kafka-file: `security_protocol` should be"),
        ("127.0.0.1:1", {"security_protocol": "SSL", "ssl_cafile": "/nowhere"}, "its files of TLS cannot be used"),
    ],
)
def test_brokers_that_cannot_be_approached_so_are_wrong_usage(
    tmp_path: Path, brokers: str, security: dict[str, str], said: str
) -> None:
    file = tmp_path / "kafka.json"
    file.write_text(json.dumps(security), encoding="utf-8")
    given = ("--brokers", brokers, "--in", "a", "--out", "b", "--kafka-file", str(file))
    code, found = mlapi({"bundle": str(LAB_BUNDLE), "redis_url": ""}, "consume", *given)
    assert (code, said in found) == (2, True), found


def test_a_port_for_metrics_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as taken:
        port = str(taken.getsockname()[1])
        topics = ("--in", "a", "--out", "b", "--metrics-port", port)
        code, said = mlapi({"bundle": str(LAB_BUNDLE), "redis_url": ""}, *CONSUME, *topics)
    assert (code, f"--metrics-port {port}: " in said) == (1, True), said


@pytest.mark.parametrize("rest", ["?detail=true", "#top"])
def test_what_a_benchmark_would_leave_out_of_its_url_is_refused(rest: str) -> None:
    code, said = mlapi({}, "bench", URL + rest)
    assert (code, "without a query" in said) == (2, True), said
    assert mlapi({}, "bench", "http://me:secret@127.0.0.1:1/project") == (2, said)
