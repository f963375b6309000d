"""One of the repository's kustomizations, in the test's namespace, with the test's image and changes."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.architecture.source_rules import ROOT
from tests.cluster.kubectl import Object
from tests.programs import find_program

K8S: Final = ROOT / ".k8s"


def build(
    source: str,
    *,
    namespace: str,
    images: Mapping[str, str],
    components: Sequence[str] = (),
    changes: Sequence[Object] = (),
) -> str:
    """Render one of the folders below `.k8s` as YAML.

    Args:
        source: the folder, such as `overlays/dev`.
        namespace: where its objects go.
        images: for each image name in the manifests, the NAME:TAG that the cluster has.
        components: folders of `.k8s/components` to add.
        changes: strategic merge patches, applied last.
    """
    with tempfile.TemporaryDirectory(dir=ROOT / ".tools") as folder:
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": [os.path.relpath(K8S / source, folder)],
            "components": [os.path.relpath(K8S / "components" / name, folder) for name in components],
            "images": [
                {"name": name, "newName": image.rpartition(":")[0], "newTag": image.rpartition(":")[2]}
                for name, image in images.items()
            ],
            "patches": [{"patch": json.dumps(change)} for change in changes],
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(kustomization), encoding="utf-8")
        done = subprocess.run(
            [find_program("kustomize"), "build", folder], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    return done.stdout
