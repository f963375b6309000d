"""New versions under load: a good one replaces the old one, a broken one does not, and no request fails."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.source_rules import ROOT
from tests.cluster.arrivals import Arrivals
from tests.cluster.conftest import Images, Report
from tests.cluster.deploy_script import deploy
from tests.cluster.kubectl import Kubectl
from tests.cluster.service import API, Service
from tests.cluster.waiting import wait

RATE: Final = 20
REPLICAS: Final = 2
SETTLE_S: Final = 5.0
"""Arrivals go on for so long before and after."""

GIVE_UP_S: Final = 45
"""What `deploy.sh` grants the broken version."""


@pytest.fixture(scope="module")
def overlay() -> Iterator[str]:
    """The dev overlay with two replicas, as a folder."""
    scratch = ROOT / ".tools"
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        kustomization = {
            "resources": [os.path.relpath(ROOT / ".k8s" / "overlays" / "dev", folder)],
            "replicas": [{"name": API, "count": REPLICAS}],
        }
        (Path(folder) / "kustomization.yaml").write_text(json.dumps(kustomization), encoding="utf-8")
        yield str(Path(folder).relative_to(ROOT))


@pytest.fixture(scope="module")
def service(kubectl: Kubectl, images: Images, overlay: str) -> Service:
    done = deploy(kubectl, images.service, "--overlay", overlay)
    assert done.code == 0, done.said
    return Service(kubectl)


def pods(service: Service) -> set[str]:
    """The identities of the ready pods: all those that there should be."""
    found = {pod["metadata"]["uid"] for pod in service.ready_pods()}
    assert len(found) == REPLICAS
    return found


def test_a_broken_version_is_rolled_back_and_nobody_notices(
    service: Service, images: Images, overlay: str, report: Report
) -> None:
    before, digest = pods(service), service.model()["digest"]
    with Arrivals(f"{service.url}/predict", rate=RATE) as arrivals:
        wait(SETTLE_S)
        done = deploy(service.kubectl, images.corrupt, "--overlay", overlay, "--timeout", str(GIVE_UP_S))
        wait(SETTLE_S)
    report(f"./deploy.sh dev with a corrupt model: exit code {done.code}, {done.said.strip().splitlines()[-1]!r}")
    report(arrivals.summary())
    assert done.code == 1, done.said
    assert "was changed: sha256" in done.said
    assert arrivals.failures == []
    assert service.model()["digest"] == digest
    assert pods(service) == before
    image = service.kubectl.get("deployment", API)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == images.service


def test_a_rolling_update_fails_no_request(service: Service, images: Images, overlay: str, report: Report) -> None:
    before, digest = pods(service), service.model()["digest"]
    with Arrivals(f"{service.url}/predict", rate=RATE) as arrivals:
        wait(SETTLE_S)
        began = time.monotonic()
        done = deploy(service.kubectl, images.next, "--overlay", overlay)
        took = time.monotonic() - began
        service.wait_until_only_current_pods()
        wait(SETTLE_S)
    report(f"./deploy.sh dev with another model, {REPLICAS} replicas: exit code {done.code} after {took:.0f} s")
    report(arrivals.summary())
    assert done.code == 0, done.said
    assert arrivals.failures == []
    assert pods(service).isdisjoint(before)
    assert service.model()["digest"] != digest
