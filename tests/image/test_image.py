"""The image itself: what is in it, that it serves, how large it is, and that it can be made again."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from mlapi.settings import DEFAULT_BUNDLE, LAB_BUNDLE
from tests.architecture.source_rules import ROOT
from tools.image_layers import Layer, layers

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

SCRIPT: Final = ROOT / "tools" / "image.sh"
LARGEST: Final = 200e6


def run(*arguments: str | Path) -> str:
    done = subprocess.run([str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image() -> str:
    """The name of the image under test."""
    name = os.environ.get("CLUSTER_IMAGE_SERVICE")
    if not name:
        missing = "CLUSTER_IMAGE_SERVICE names no image to examine"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return name


@pytest.fixture(scope="module")
def image_layers(image: str, tmp_path_factory: pytest.TempPathFactory) -> list[Layer]:
    return saved(image, tmp_path_factory.mktemp("image") / "image.tar")


def saved(image: str, archive: Path) -> list[Layer]:
    run("save", image, archive)
    found = list(layers(archive))
    assert found
    return found


def test_it_holds_what_it_should_and_serves(image: str) -> None:
    """`tools/image_probe.py` looks from inside: as an arbitrary user, without capabilities or network."""
    assert run("check", image).splitlines()[-1] == "the image is as it should be"


def test_it_is_small(image_layers: list[Layer]) -> None:
    assert sum(layer.compressed for layer in image_layers) < LARGEST


def test_what_changes_often_is_small_and_comes_last(image_layers: list[Layer]) -> None:
    assert image_layers[-1].compressed < 1.6e6


def test_a_second_build_has_the_same_layers(image: str, image_layers: list[Layer], tmp_path: Path) -> None:
    if run("engine").strip() == "docker":
        pytest.skip("docker keeps the times of the build in its layers: docs/adr/image-reproducible.md")
    again = f"{image}-again"
    run("build", again, "--no-cache")
    assert [layer.digest for layer in saved(again, tmp_path / "again.tar")] == [layer.digest for layer in image_layers]


def test_the_bill_of_materials_lists_what_is_there(image: str) -> None:
    bill = json.loads(run("bom", image))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {component["name"]: component for component in bill["components"]}
    assert len(listed) == len(bill["components"])
    wanted = re.findall(
        r"^(\S+)==(\S+) ;", (ROOT / "requirements" / "serve.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    versions = {name: listed[name]["version"] for name, _ in wanted if name in listed}
    assert versions.items() <= dict(wanted).items()
    assert {"fastapi", "numpy", "openvino", "redis", "uvicorn"} <= set(versions)
    assert {"libc6", "python", "swagger-ui-dist"} <= set(listed)
    for bundle in (DEFAULT_BUNDLE, LAB_BUNDLE):
        manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
        files = {file["name"]: file["hashes"][0]["content"] for file in listed[manifest["name"]]["components"]}
        assert files == {name: entry["sha256"] for name, entry in manifest["files"].items()}


def test_a_changed_model_stops_the_build(image: str, tmp_path: Path) -> None:
    """In a clone, where one byte of the weights is flipped."""
    del image
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", tmp_path / "clone"], check=True)
    weights = tmp_path / "clone" / "models" / "distilbert-minilm-sst2" / "model.bin"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    script = tmp_path / "clone" / "tools" / "image.sh"
    done = subprocess.run([script, "build", "mlapi-changed:test"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "wrong  model.bin" in done.stdout + done.stderr
