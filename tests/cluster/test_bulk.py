"""A Job of four shards, one of whose pods is killed, writes what a single run writes."""

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from mlapi.settings import LAB_BUNDLE
from tests.cluster.conftest import Images, Report
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.overlay import build
from tests.cluster.waiting import until
from tests.command_line import mlapi

ROWS: Final = 60_000
SHARDS: Final = 4
WORDS: Final = ("a", "warm", "funny", "dull", "film", "and", "tedious", "good", "not", "bad", "plot", "the")
START_S: Final = 120.0
DONE_S: Final = 600.0
SELECTOR: Final = "app.kubernetes.io/component=bulk"


@pytest.fixture
def files() -> Iterator[Path]:
    """A folder of the node that the pods' user may write to; these tests run on the node."""
    folder = Path(tempfile.mkdtemp(prefix="mlapi-bulk-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def volume(kubectl: Kubectl, folder: Path) -> Object:
    """The folder as a volume for this namespace's claim alone."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"bulk-{kubectl.namespace}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": kubectl.namespace, "name": "bulk-files"},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def progress(files: Path) -> list[int]:
    """Rows that each shard has made sure of."""
    found = []
    for index in range(SHARDS):
        file = files / f"output-{index:05}-of-{SHARDS:05}.jsonl.progress"
        found.append(int(json.loads(file.read_bytes())["rows"]) if file.exists() else 0)
    return found


def test_four_shards_and_a_killed_pod_make_the_output_of_one_run(
    kubectl: Kubectl, images: Images, files: Path, tmp_path: Path, report: Report
) -> None:
    chance = random.Random(3)  # noqa: S311  reproducible, not secret
    with (files / "input.jsonl").open("w", encoding="ascii") as file:
        for row in range(ROWS):
            text = " ".join(chance.choices(WORDS, k=chance.choice((3, 9, 20))))
            file.write(json.dumps({"id": row, "text": f"{text} {row % (ROWS * 7 // 10)}"}) + "\n")
    single = {"bundle": str(LAB_BUNDLE)}
    assert mlapi(single, "bulk", str(files / "input.jsonl"), str(tmp_path / "whole.jsonl"), "--window", "512")[0] == 0
    change: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "bulk"},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "mlapi",
                            "env": [{"name": "MLAPI_BUNDLE", "value": "/app/models/tfidf-logreg-sst2"}],
                            # Slow enough to be killed on the way.
                            "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "200m"}},
                        }
                    ]
                }
            }
        },
    }
    claim: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "bulk-files"},
        "spec": {"storageClassName": "", "volumeName": f"bulk-{kubectl.namespace}"},
    }
    documents = build(
        "overlays/dev",
        namespace=kubectl.namespace,
        images={"mlapi": images.service},
        components=["bulk"],
        changes=[change, claim],
    )
    kubectl.apply(json.dumps(volume(kubectl, files)))
    try:
        kubectl.apply(documents)
        until(lambda: max(progress(files)) > 0, "a shard has written a window", START_S)
        before = progress(files)
        index = before.index(max(before))
        assert before[index] < ROWS // SHARDS
        (victim,) = (
            pod
            for pod in kubectl.list("pods", SELECTOR)
            if pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == str(index)
        )
        kubectl.run("delete", "pod", victim["metadata"]["name"], "--grace-period=0", "--force")

        def done() -> bool:
            status = kubectl.get("job", "bulk")["status"]
            assert not status.get("failedIndexes"), status
            return bool(status.get("succeeded", 0) == SHARDS)

        until(done, "all shards are done", DONE_S)
    finally:
        kubectl.run("delete", "persistentvolume", f"bulk-{kubectl.namespace}", "--wait=false")
    merged = b"".join((files / f"output-{index:05}-of-{SHARDS:05}.jsonl").read_bytes() for index in range(SHARDS))
    assert merged == (tmp_path / "whole.jsonl").read_bytes()
    report(f"{ROWS} rows, {SHARDS} shards, the pod of index {index} killed after {before[index]} rows: the same bytes")
