"""A new version is warmed with the hot texts of the old one, and judged on them, before it gets traffic."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import httpx
import msgspec
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlapi.bundles.store import read_manifest, write_bundle
from mlapi.classifier import Classifier
from mlapi.settings import LAB_BUNDLE
from tests.e2e.api_keys import KeysFile, bearer
from tests.e2e.problem_documents import assert_problem
from tests.service_process import ServiceProcess, eventually, mlapi_environment, run_mlapi

WORDS = [term for term in json.loads((LAB_BUNDLE / "vocabulary.json").read_bytes())["terms"] if term.isalpha()]
TEXTS = [" ".join(islice(cycle(WORDS), 6 * number, 6 * number + 6)) for number in range(400)]


def shifted(folder: Path, by: float) -> Path:
    """Write the small model with its one output moved: another digest, and labels that flip where it was undecided."""
    weights = np.load(LAB_BUNDLE / "weights.npy")
    weights[0, 0] += by
    moved = folder.parent / f"{folder.name}.npy"
    np.save(moved, weights)
    files = {name: LAB_BUNDLE / name for name in ("idf.npy", "vocabulary.json")} | {"weights.npy": moved}
    write_bundle(folder, files, lambda found: msgspec.structs.replace(read_manifest(LAB_BUNDLE), files=dict(found)))
    return folder


def flipping(share: float) -> float:
    """Return by how much the output has to move for this share of the texts to get another label."""
    with Classifier.open(LAB_BUNDLE) as classifier:
        outputs = sorted(
            logits[1] for logits in (answer.logits for answer in classifier.predict(TEXTS)) if logits[1] > 0
        )
    wanted = round(share * len(TEXTS))
    return -(outputs[wanted - 1] + outputs[wanted]) / 2


@dataclass(frozen=True, slots=True)
class Versions:
    """The version that serves, those that are to, and the file of a key for all of them."""

    old: ServiceProcess
    close: ServiceProcess
    flipped: ServiceProcess
    file: KeysFile
    key_file: Path
    headers: dict[str, str]

    def rollout(self, command: str, new: ServiceProcess, *options: str) -> "subprocess.CompletedProcess[str]":
        places = ["--from", f"{self.old.url}/project", "--to", f"{new.url}/project", "--key-file", str(self.key_file)]
        return run_mlapi("rollout", command, *places, "--texts-per-second", "5000", *options)


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versions]:
    folder = tmp_path_factory.mktemp("rollout")
    file = KeysFile(folder)
    key = file.add("rollout", scopes=["predict", "admin"])
    key_file = folder / "key"
    key_file.write_text(f"{key}\n", encoding="ascii")
    with ExitStack() as stack:
        start = partial(ServiceProcess, keys_file=str(file.path), engine="linear")
        old = stack.enter_context(start(bundle=str(LAB_BUNDLE), hot_texts_bytes="1000000"))
        close, flipped = (
            stack.enter_context(start(bundle=str(shifted(folder / name, by))))
            for name, by in (("close", -1e-4), ("flipped", flipping(0.04)))
        )
        # One request in eight is looked at: asked for so often, each text is sampled but once in 10 million times.
        with httpx.Client(base_url=old.url, headers=bearer(key)) as client:
            for _ in range(120):
                for start_at in range(0, len(TEXTS), 100):
                    body = {"text": TEXTS[start_at : start_at + 100]}
                    assert client.post("/project/predict", json=body).status_code == 200
        yield Versions(old, close, flipped, file, key_file, bearer(key))


def test_the_hot_texts_are_shown_to_administrators_only(versions: Versions) -> None:
    path = "/project/hot-texts"
    reader = versions.file.add("reader")
    eventually(lambda: versions.old.predict(TEXTS[0], headers=bearer(reader)).status_code == 200, "the key is known")
    assert_problem(versions.old.client.get(path, headers=bearer(reader)), 403, 403, "forbidden")
    assert_problem(versions.old.client.get(path), 401, 401, "unauthorized")
    answer = versions.old.client.get(path, params={"limit": 5}, headers=versions.headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    shown = answer.json()
    assert len(shown["texts"]) == 5
    assert {item["text"] for item in shown["texts"]} <= set(TEXTS)
    assert_problem(
        versions.old.client.get(path, params={"limit": 0}, headers=versions.headers), 422, 422, "invalid_request"
    )


def test_a_version_keeps_no_texts_unless_it_is_told_to(versions: Versions) -> None:
    answer = versions.close.client.get("/project/hot-texts", headers=versions.headers)
    assert_problem(answer, 404, 404, "not_found")


def test_a_text_that_must_not_be_stored_is_not_sampled(versions: Versions) -> None:
    private = "a text that must not be stored"
    for _ in range(100):
        versions.old.predict(private, headers=versions.headers | {"cache-control": "no-store"})
        assert versions.old.predict(private).status_code == 401
    shown = versions.old.client.get("/project/hot-texts", params={"limit": 20_000}, headers=versions.headers)
    assert private not in shown.text


def test_a_sample_without_keys_stops_the_start() -> None:
    run = run_mlapi("serve", settings={"MLAPI_HOT_TEXTS_BYTES": "1000000"})
    assert (run.returncode, "needs MLAPI_KEYS_FILE" in run.stderr) == (2, True)


def test_a_warmed_version_knows_every_hot_text(versions: Versions, tmp_path: Path) -> None:
    first = versions.rollout("warm", versions.close, "--json", "--metrics", str(tmp_path / "warm.prom"))
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert (report["verdict"], report["texts"], report["answered"], report["known"]) == ("passed", 400, 400, 0)
    again = json.loads(versions.rollout("warm", versions.close, "--json").stdout)
    assert again["known"] == 400
    assert not any(text in first.stdout + first.stderr for text in TEXTS)
    assert 'mlapi_rollout_warmed_texts{result="answered"} 400.0' in (tmp_path / "warm.prom").read_text()
    with versions.close.counting() as rises:
        versions.close.predict(TEXTS, headers=versions.headers)
    assert rises['mlapi_texts_total{model="project",source="l1"}'] == len(TEXTS)


def test_a_version_that_says_the_same_passes(versions: Versions, tmp_path: Path) -> None:
    run = versions.rollout("compare", versions.close, "--json", "--metrics", str(tmp_path / "compare.prom"))
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)["comparison"]
    assert (found["texts"], found["flips"]) == (400, 0)
    assert 0 < found["score_shift_mean"] < 1e-4
    assert 'mlapi_rollout_flip_rate{of="texts"} 0.0' in (tmp_path / "compare.prom").read_text()


def test_a_version_whose_labels_flip_on_four_percent_fails(versions: Versions) -> None:
    run = versions.rollout("compare", versions.flipped, "--json")
    assert run.returncode == 1
    found = json.loads(run.stdout)["comparison"]
    assert (found["flips"], found["flip_rate"]) == (16, 0.04)
    assert "label-flip rate 0.0400 is above 0.02" in run.stderr
    assert (
        versions.rollout(
            "compare",
            versions.flipped,
            "--max-flip-rate",
            "0.06",
            "--max-label-flip-rate",
            "0.5",
            "--max-score-shift",
            "0.2",
        ).returncode
        == 0
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--min-texts", "401"), "400 texts could be compared, and it takes 401: nothing was judged"),
        (("--expect-digest", "00"), "and not 00"),
        (("--seconds", "0.000001"), "0 texts could be compared"),
    ],
)
def test_what_was_not_measured_is_no_pass(versions: Versions, options: tuple[str, ...], message: str) -> None:
    run = versions.rollout("compare", versions.close, *options)
    assert (run.returncode, message in run.stderr) == (3, True), run.stderr


def test_a_version_that_keeps_no_sample_is_no_pass_unless_texts_are_given(versions: Versions, tmp_path: Path) -> None:
    places = ["--from", f"{versions.close.url}/project", "--to", f"{versions.old.url}/project"]
    options = [*places, "--key-file", str(versions.key_file), "--texts-per-second", "5000"]
    run = run_mlapi("rollout", "compare", *options)
    assert (run.returncode, "answered 404" in run.stderr) == (3, True)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS[:150]) + "\n\n" + TEXTS[0] + "\n", encoding="utf-8")
    run = run_mlapi("rollout", "compare", *options, "--texts", str(texts), "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["comparison"]["texts"] == 150


def test_a_version_that_is_not_there_is_no_pass(versions: Versions) -> None:
    for command in ("warm", "compare"):
        places = ["--from", f"{versions.old.url}/project", "--to", "http://127.0.0.1:9/project"]
        run = run_mlapi("rollout", command, *places, "--key-file", str(versions.key_file))
        assert (run.returncode, "cannot be asked" in run.stderr) == (3, True)


def test_wrong_usage_is_told() -> None:
    for places in (["http://a/project", "http://a/project"], ["ftp://a", "http://b"], ["http://a:x/p", "http://b"]):
        assert run_mlapi("rollout", "warm", "--from", places[0], "--to", places[1]).returncode == 2


def test_the_gate_answers_webhooks(versions: Versions) -> None:
    """As Flagger asks: a status above 202 halts a rollout, and its body is the reason that people see."""
    with ExitStack() as stack:
        urls = [
            stack.enter_context(Gate(versions, new)).url for new in (versions.close, versions.flipped, versions.old)
        ]
        client = stack.enter_context(httpx.Client(timeout=30))
        payload = {"name": "mlapi", "namespace": "w255", "phase": "Progressing", "checksum": "1", "metadata": {}}
        passed = client.post(f"{urls[0]}/pre-rollout", json=payload)
        assert (passed.status_code, passed.json()["verdict"]) == (200, "passed")
        assert passed.json()["warmed"]["answered"] == 400
        failed = client.post(f"{urls[1]}/pre-rollout", json=payload)
        assert (failed.status_code, failed.json()["verdict"]) == (409, "failed")
        assert "label-flip rate 0.0400 is above 0.02" in failed.json()["reason"]
        same = client.post(f"{urls[2]}/compare", json=payload)
        assert (same.status_code, "same model digest" in same.json()["reason"]) == (200, True)
        other = client.post(f"{urls[0]}/compare", json=payload | {"metadata": {"digest": "00"}})
        assert (other.status_code, other.json()["verdict"]) == (409, "unmeasured")
        for body in (b"{", b"[]", b'{"metadata": {"digest": 7}}'):
            assert client.post(f"{urls[0]}/compare", content=body).status_code == 400
        # A key that is rotated is read anew; one that is not valid is no pass.
        valid = versions.key_file.read_text(encoding="ascii")
        versions.key_file.write_text("mlapi_aaaaaaaa_wrong", encoding="ascii")
        unknown = client.post(f"{urls[0]}/compare", json=payload)
        versions.key_file.write_text(valid, encoding="ascii")
        assert (unknown.status_code, unknown.json()["verdict"]) == (409, "unmeasured")
        assert client.post(f"{urls[0]}/compare", json=payload).status_code == 200
        families = {each.name: each for each in text_string_to_metric_families(client.get(f"{urls[1]}/metrics").text)}
        rates = {sample.labels["of"]: sample.value for sample in families["mlapi_rollout_flip_rate"].samples}
        assert rates["texts"] == 0.04
        verdicts = {item.labels["verdict"]: item.value for item in families["mlapi_rollout_verdicts"].samples}
        assert verdicts == {"passed": 0, "failed": 1, "unmeasured": 0}


class Gate:
    """`mlapi rollout serve`; a context manager.

    Attributes:
        url: where it listens.
    """

    url: str

    def __init__(self, versions: Versions, new: ServiceProcess) -> None:
        old = f"{versions.old.url}/project"
        places = ["--from", old, "--to", f"{new.url}/project" if new is not versions.old else f"{old}/"]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mlapi",
                "rollout",
                "serve",
                *places,
                "--key-file",
                str(versions.key_file),
                "--texts-per-second",
                "5000",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
            ],
            env=mlapi_environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"running on (http://[0-9.]+:\d+)", line):
                self.url = found[1]
                return self
        pytest.fail("the gate did not start")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        output = self._process.communicate(timeout=20)[0]
        assert "Traceback" not in output, output
