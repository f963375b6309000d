"""`mlapi bulk` as a process: the service's answers, in order; killed and continued, it writes the same bytes."""

import json
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from mlapi import Classifier
from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.command_line import mlapi
from tests.offline_runs import compressed, content, lines
from tests.service_process import ServiceProcess, eventually, mlapi_environment
from tools.private_redis import PrivateRedis

WORDS = ("a", "warm", "funny", "dull", "film", "and", "tedious", "good", "not", "bad", "plot", "the", "of", "cast")
LAB = {"bundle": str(LAB_BUNDLE)}


def made_up(count: int) -> list[str]:
    """Texts of mixed lengths, three tenths of which repeat others."""
    source = random.Random(11)  # noqa: S311  reproducible, not secret
    new = [" ".join(source.choices(WORDS, k=source.choice((1, 3, 9, 20)))) + f" {n}" for n in range(count * 7 // 10)]
    texts = new + source.choices(new, k=count - len(new))
    source.shuffle(texts)
    return texts


def as_json(texts: Sequence[str]) -> bytes:
    return b"".join(json.dumps({"id": place, "text": text}).encode() + b"\n" for place, text in enumerate(texts))


def start(*arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "mlapi", "bulk", *map(str, arguments)],
        env=mlapi_environment({f"MLAPI_{name.upper()}": value for name, value in settings.items()}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("bundle", "count"), [(DEFAULT_BUNDLE, 50), (LAB_BUNDLE, 2_000)], ids=["default", "lab"])
def test_its_answers_are_the_classifiers_and_the_services(tmp_path: Path, bundle: Path, count: int) -> None:
    texts = [*made_up(count), "Café \U0001f600!", "word " * 700]
    source = compressed(tmp_path / "in.jsonl", as_json(texts))
    code, said = mlapi({"bundle": str(bundle)}, "bulk", str(source), str(tmp_path / "out.jsonl"))
    assert code == 0, said
    with Classifier.open(bundle) as classifier:
        expected = classifier.predict(texts)
    found = lines(tmp_path / "out.jsonl")
    assert found == [
        {"id": place, "text": text, "label": one.label, "score": max(one.scores)}
        for place, (text, one) in enumerate(zip(texts, expected, strict=True))
    ]
    if bundle == LAB_BUNDLE:
        with ServiceProcess(bundle=str(bundle), max_texts="100") as service:
            server = ("--server", f"{service.url}{service.root}")
            code, said = mlapi({}, "bulk", str(source), str(tmp_path / "served.jsonl"), *server)
            assert code == 0, said
        assert content(tmp_path / "served.jsonl") == content(tmp_path / "out.jsonl")


def test_killed_at_random_moments_it_writes_the_same_bytes(tmp_path: Path) -> None:
    name = "out.csv.gz"
    source = compressed(tmp_path / "in.jsonl", as_json(made_up(6_000)) + b"broken\n")
    options = ("--window", "64", "--keep", "id", "--progress", "none")
    whole, target = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    target.mkdir()
    assert mlapi(LAB, "bulk", str(source), str(whole / name), *options)[0] == 3
    chance = random.Random(3)  # noqa: S311  reproducible, not secret
    progress = target / f"{name}.progress"

    def rows() -> int:
        return int(json.loads(progress.read_bytes())["rows"]) if progress.exists() else 0

    def came_to(process: "subprocess.Popen[str]", wanted: int) -> bool:
        return rows() >= wanted or process.poll() is not None

    kills = 0
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = start(source, target / name, *options, **LAB)
        wanted = rows() + chance.randrange(1, 1_500)
        eventually(partial(came_to, process, wanted), "some rows")
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), said
        kills += rows() < 6_001
    assert kills == 3
    process = start(source, target / name, *options, **LAB)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said
    for file in (name, f"{name}.errors.jsonl"):
        assert (target / file).read_bytes() == (whole / file).read_bytes()
    assert [entry["line"] for entry in lines(target / f"{name}.errors.jsonl")] == [6_001]


def test_standard_input_and_output() -> None:
    process = start("-", "-", "--format", "txt", "--keep", "", **LAB)
    said, complaints = process.communicate("a warm and funny film\n\ndull and tedious\n", timeout=30)
    assert process.returncode == 3
    assert [json.loads(line)["label"] for line in said.splitlines()] == ["POSITIVE", None, "NEGATIVE"]
    assert "mlapi: line 2: the text holds nothing that the model can read" in complaints


def test_a_second_run_finds_all_answers_in_redis(tmp_path: Path, redis_server: PrivateRedis) -> None:
    texts = made_up(40)
    source = compressed(tmp_path / "in.txt", "\n".join(texts).encode())
    settings = {"bundle": str(DEFAULT_BUNDLE), "redis_url": redis_server.url}
    for share in ("0%", "100%"):
        options = ("--restart", "--progress", "plain")
        code, said = mlapi(settings, "bulk", str(source), str(tmp_path / f"{share}.jsonl"), *options)
        assert code == 0, said
        assert f"{len(set(texts))} distinct texts, {share} of them in a cache" in said
    assert content(tmp_path / "0%.jsonl") == content(tmp_path / "100%.jsonl")
    redis_server.stop()
    code, said = mlapi(settings, "bulk", str(source), str(tmp_path / "without.jsonl"))
    assert code == 0, said
    assert content(tmp_path / "without.jsonl") == content(tmp_path / "0%.jsonl")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    source = compressed(tmp_path / "in.jsonl", as_json(["fine"]))
    target = str(tmp_path / "out.jsonl")
    for settings, arguments, code, words in (
        (LAB, (str(tmp_path / "gone.jsonl"), target), 2, "there is no file"),
        (LAB, (str(source), target, "--model", "other"), 2, "there is no model other; there are: project"),
        (LAB, (str(source), target, "--shard", "2/2"), 2, "is not like 0/4"),
        (LAB, (str(source), target, "--top", "2", "--all-labels"), 2, "cannot be given together"),
        (LAB, (str(source), target, "--key-file", str(source)), 2, "of use with --server only"),
        ({"bundle": str(tmp_path)}, (str(source), target), 2, "not a model bundle"),
        ({"colour": "red"}, (str(source), target), 2, "MLAPI_COLOUR is not a setting"),
        (LAB, (str(source), target, "--server", "http://127.0.0.1:9/project", "--patience", "0"), 1, "does not answer"),
    ):
        found, said = mlapi(settings, "bulk", *arguments)
        assert (found, words in said) == (code, True), said
    assert not Path(target).exists()


def test_a_damaged_input_is_told(tmp_path: Path) -> None:
    sound = compressed(tmp_path / "in.jsonl.gz", as_json(made_up(500)))
    for cut in (sound.read_bytes()[:-400], sound.read_bytes()[:200] + b"xxxx" + sound.read_bytes()[204:], b"plain"):
        torn = tmp_path / "torn.jsonl.gz"
        torn.write_bytes(cut)
        code, said = mlapi(LAB, "bulk", str(torn), str(tmp_path / "out.jsonl"), "--restart")
        assert code == 1, said
        assert "Traceback" not in said
