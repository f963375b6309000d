"""`mlapi learn evaluate` and `export` on opinions that came over HTTP."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlapi.bundles.store import read_manifest
from mlapi.settings import LAB_BUNDLE
from tests.command_line import mlapi
from tests.service_process import ServiceProcess

TEXTS = [f"a {word} film, number {number}" for number in range(100, 120) for word in ("wonderful", "terrible", "long")]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("learn")
    return {
        "feedback_url": f"sqlite:///{folder}/feedback.db",
        "bundle": str(LAB_BUNDLE),
        "root_path": "/lab",
        "feedback_ask_share": "1",
    }


@pytest.fixture(scope="module")
def digest(settings: dict[str, Any]) -> Iterator[str]:
    """The model that two users judged: both give every text, and say of the long films that they are bad."""
    with ServiceProcess(client_header="x-user", feedback_votes_per_minute="0", **settings) as service:
        body = service.predict(TEXTS, query="?detail=true").json()
        assert all(detail["ask"] for detail in body["details"])
        for user in ("alice", "bob"):
            votes = [
                {
                    "id": detail["id"],
                    "label": "POSITIVE" if "wonderful" in text else "NEGATIVE",
                    "text": text,
                    "consent": True,
                }
                for text, detail in zip(TEXTS, body["details"], strict=True)
            ]
            sent = service.client.post("/lab/feedback", json={"feedback": votes}, headers={"x-user": user})
            assert sent.status_code == 201
        yield body["model"]["digest"]


def learn(settings: dict[str, Any], *arguments: str) -> tuple[int, str]:
    return mlapi(settings, "learn", *arguments)


def test_a_model_is_judged_by_those_who_were_asked(digest: str, settings: dict[str, Any]) -> None:
    code, said = learn(settings, "evaluate", "--model", "lab", "--json")
    assert code == 0, said
    report = json.loads(said)
    assert (report["model"], report["opinions"], report["subjects"]) == (digest, 120, 2)
    assert report["texts"] == {"judged": 60, "agreed": 60, "single": 0, "disputed": 0}
    assert report["asked"]["texts"]["count"] == 60
    assert report["asked"]["requests"]["count"] == 120
    assert report["asked"]["texts"]["accuracy"] == report["by_text"]["agreement"]
    assert list(report["by_text"]["classes"]) == ["NEGATIVE", "POSITIVE"]
    code, words = learn(settings, "evaluate", "--model", "lab", "--digest", digest[:12])
    assert code == 0, words
    assert f"{report['asked']['texts']['accuracy']['value']:.4f}" in words


def test_a_bundle_is_judged_on_the_texts_that_are_kept(digest: str, settings: dict[str, Any]) -> None:
    """Here it is the very model that answered: the figures are the same, and no text tells the two apart."""
    code, said = learn(
        settings, "evaluate", "--model", "lab", "--bundle", str(LAB_BUNDLE), "--against", digest, "--json"
    )
    assert code == 0, said
    report = json.loads(said)
    assert report["model"] == digest
    assert report["against"] == {
        "model": digest,
        "texts": 60,
        "only_this_right": 0,
        "only_other_right": 0,
        "p_value": 1.0,
    }
    assert report["asked"]["texts"]["count"] == 0


def test_the_texts_are_exported_with_their_digest(digest: str, settings: dict[str, Any], tmp_path: Path) -> None:
    del digest
    file = tmp_path / "texts.jsonl"
    code, said = learn(settings, "export", "--model", "lab", "--only-agreed", str(file))
    assert code == 0, said
    assert said.splitlines() == [
        f"sha256  {hashlib.sha256(file.read_bytes()).hexdigest()}",
        "label   NEGATIVE: 40",
        "label   POSITIVE: 20",
    ]
    examples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert {example["text"] for example in examples} == set(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("evaluate", "--model", "unknown"), 1, "there is no opinion on an answer of unknown"),
        (
            ("evaluate", "--model", "unknown", "--bundle", str(LAB_BUNDLE)),
            1,
            "there is no opinion on an answer of unknown",
        ),
        (("evaluate", "--model", "lab", "--digest", "ffff"), 2, "0 models have a digest that begins with 'ffff'"),
        (("evaluate", "--model", "lab", "--digest", "f", "--bundle", "x"), 2, "not by both"),
        (("evaluate", "--model", "lab", "--bundle", "nowhere"), 2, "nowhere is not a model bundle"),
        (("export", "--model", "lab", "nowhere/texts.jsonl"), 2, "No such file"),
    ],
)
def test_what_cannot_be_done_is_said(
    digest: str, settings: dict[str, Any], arguments: tuple[str, ...], code: int, words: str
) -> None:
    del digest
    found = learn(settings, *arguments)
    assert (found[0], words in found[1]) == (code, True), found


def test_a_store_that_is_gone_is_told_from_one_that_is_empty(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("7" * 64)
    settings = {"feedback_url": "postgresql://127.0.0.1:1/none", "feedback_key_file": str(tmp_path / "key")}
    code, said = learn(settings, "evaluate")
    assert (code, "the store does not answer: PostgreSQL" in said) == (4, True), said


class TestRegistry:
    """Models from their data to their end, by the command line."""

    def test_a_model_is_registered_promoted_rolled_back_and_its_line_told(
        self, digest: str, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        del digest
        data = str(tmp_path / "texts.jsonl")
        assert learn(settings, "export", "--model", "lab", "--only-agreed", data)[0] == 0
        code, first = learn(settings, "register", str(LAB_BUNDLE), "--model", "lab", "--commit", "abc123")
        assert code == 0, first
        first = first.strip()
        assert first == read_manifest(LAB_BUNDLE).digest
        better = shutil.copytree(LAB_BUNDLE, tmp_path / "better")
        manifest = json.loads((better / "bundle.json").read_text(encoding="utf-8"))
        (better / "bundle.json").write_text(json.dumps(manifest | {"pad_id": 1}), encoding="utf-8")
        arguments = ("register", str(better), "--model", "lab", "--dataset", data, "--parent", first, "--run", "7")
        code, second = learn(settings, *arguments)
        assert code == 0, second
        second = second.strip()
        assert learn(settings, *arguments) == (0, second + "\n")
        reason = ("--reason", "passed the gate")
        assert learn(settings, "promote", first, *reason) == (0, f"champion {first}\n")
        assert learn(settings, "promote", second, *reason)[0] == 3
        assert learn(settings, "promote", second, "--expected", first, *reason) == (0, f"champion {second}\n")
        code, said = learn(settings, "lineage", second[:8])
        assert code == 0, said
        sha256 = hashlib.sha256(Path(data).read_bytes()).hexdigest()
        assert f"model     {second} (champion)" in said
        assert f"data    {sha256}, 60 texts by the opinions up to event" in said
        assert "promoted: passed the gate" in said
        assert f"model     {first}\n  name    lab\n  data    unknown\n  commit  abc123" in said
        assert learn(settings, "rollback", second, "--reason", "flips labels") == (0, f"champion {first}\n")
        code, said = learn(settings, "promote", second, "--expected", first, *reason)
        assert (code, "was rolled back, and stays so" in said) == (1, True)
        assert learn(settings, "verify")[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (("register", "nowhere"), 2, "is not a model bundle"),
            (("promote", "abc", "--reason", "x"), 2, "is not a digest: 64 hexadecimal digits"),
            (("promote", "a" * 64, "--reason", "x"), 1, "is not registered"),
            (("reject", "a" * 64, "--reason", "x"), 1, "is not registered"),
            (("lineage", "a" * 8), 1, "0 registered models"),
            (("lineage", "%"), 2, "is not the beginning of a digest"),
        ],
    )
    def test_what_cannot_be_done_is_said(
        self, settings: dict[str, Any], arguments: tuple[str, ...], code: int, words: str
    ) -> None:
        found = learn(settings, *arguments)
        assert (found[0], words in found[1]) == (code, True), found


@pytest.mark.parametrize("command", [("verify",), ("evaluate",), ("export", "texts.jsonl"), ("purge",)])
def test_a_store_that_is_not_there_is_not_an_empty_one(tmp_path: Path, command: tuple[str, ...]) -> None:
    code, said = learn({"feedback_url": f"sqlite:///{tmp_path}/mistyped.db"}, *command)
    assert (code, said) == (
        2,
        f"mlapi: there is no store of opinions at {tmp_path}/mistyped.db, which MLAPI_FEEDBACK_URL names\n",
    )
    assert not list(tmp_path.iterdir())
