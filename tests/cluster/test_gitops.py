"""Flux keeps the cluster as the repository says: a commit, its revert, what was changed by hand, and a bad commit."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.architecture.source_rules import ROOT
from tests.cluster import flux, git_host
from tests.cluster.conftest import RESTRICTED, Images, Report
from tests.cluster.kubectl import Kubectl, KubectlError, Object
from tests.cluster.namespaces import namespace
from tests.cluster.service import API, API_SERVICE, REDIS, Service
from tests.cluster.waiting import until, wait

RECONCILED_S: Final = 240.0
INTERVAL: Final = "5s"
NAME: Final = "mlapi"
ENVIRONMENT: Final = ".k8s/environments/test"

pytestmark = pytest.mark.skipif(not os.environ.get("CLUSTER_FLUX"), reason="CLUSTER_FLUX=1 asks for it: Flux")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The repository that Flux watches, as somebody has it who may push."""

    folder: Path
    service: Service
    log: Path

    def commit(self, image: str) -> None:
        """Name an image in the environment, and push."""
        name, _, tag = image.rpartition(":")
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.service.kubectl.namespace,
            "resources": ["../../overlays/dev"],
            "images": [{"name": "mlapi", "newName": name, "newTag": tag}],
        }
        self.write(yaml.safe_dump(kustomization), f"test: run {tag}")

    def write(self, kustomization: str, why: str) -> None:
        """Replace the environment's file, and push."""
        file = self.folder / ENVIRONMENT / "kustomization.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(kustomization, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", why)
        self.git("push", "--quiet", "origin", "HEAD:main")

    def git(self, *arguments: str) -> str:
        """Run Git in the checkout."""
        command = [
            "git",
            "-C",
            str(self.folder),
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@example.com",
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @property
    def image(self) -> str:
        """What the cluster runs."""
        found: str = self.service.kubectl.get("deployment", API)["spec"]["template"]["spec"]["containers"][0]["image"]
        return found

    @property
    def applied(self) -> str:
        """The commit that Flux applied last."""
        status = Kubectl(flux.NAMESPACE).get("kustomization", NAME).get("status", {})
        return str(status.get("lastAppliedRevision", "")).rpartition(":")[2]

    def ready(self) -> str:
        """What Flux says of itself: `True`, or why not."""
        conditions = Kubectl(flux.NAMESPACE).get("kustomization", NAME).get("status", {}).get("conditions", [])
        return next(
            (
                each["message"] if each["status"] == "False" else each["status"]
                for each in conditions
                if each["type"] == "Ready"
            ),
            "",
        )


def sources(url: str) -> Object:
    """What Flux is told: where the repository is, and which of its folders to apply."""
    repository = {"interval": INTERVAL, "url": url, "ref": {"branch": "main"}, "timeout": "20s"}
    kustomization = {
        "interval": INTERVAL,
        "path": ENVIRONMENT,
        "prune": True,
        "retryInterval": INTERVAL,
        "timeout": "3m",
        "sourceRef": {"kind": "GitRepository", "name": NAME},
    }
    metadata = {"name": NAME, "namespace": flux.NAMESPACE}
    kinds = (
        ("source.toolkit.fluxcd.io/v1", "GitRepository", repository),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", kustomization),
    )
    items = [{"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec} for version, kind, spec in kinds]
    return {"apiVersion": "v1", "kind": "List", "items": items}


@pytest.fixture(scope="module")
def checkout(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The dev overlay, brought to the cluster by Flux alone."""
    folder = tmp_path_factory.mktemp("gitops")
    clone = folder / "checkout"
    repositories = folder / "repositories"
    with ExitStack() as stack:
        own = stack.enter_context(namespace("gitops", RESTRICTED))
        found = Checkout(clone, Service(own), folder / "kustomize-controller.log")
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", repositories / "mlapi.git"], check=True)
        subprocess.run(["git", "clone", "--quiet", repositories / "mlapi.git", clone], check=True, capture_output=True)
        shutil.copytree(ROOT / ".k8s", clone / ".k8s")
        found.commit(images.service)
        stack.enter_context(flux.running(folder))
        url = stack.enter_context(git_host.serving(repositories))
        fluxes = Kubectl(flux.NAMESPACE)
        fluxes.apply(json.dumps(sources(f"{url}/mlapi.git")))
        # Before the controllers end: they have something to take away.
        stack.callback(fluxes.run, "delete", "kustomization,gitrepository", NAME, "--timeout=90s", timeout_s=120)
        until(lambda: exists(own, "deployment", API), "what the repository says", RECONCILED_S)
        for name in (REDIS, API):
            found.service.wait_for_rollout(name)
        yield found


def exists(kubectl: Kubectl, kind: str, name: str) -> bool:
    try:
        kubectl.run("get", kind, name)
    except KubectlError:
        return False
    return True


def seconds_until(condition: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    until(condition, what, RECONCILED_S)
    return time.monotonic() - began


def test_a_commit_becomes_the_running_version_and_its_revert_the_one_before(
    checkout: Checkout, images: Images, report: Report
) -> None:
    first = checkout.service.model()["digest"]
    checkout.commit(images.next)
    applied = seconds_until(lambda: checkout.applied == checkout.git("rev-parse", "HEAD"), "the commit applied")
    running = seconds_until(lambda: checkout.service.model()["digest"] != first, "the other model")
    checkout.service.wait_for_rollout()
    assert checkout.image == images.next
    report(f"a commit: applied after {applied:.0f} s, answering after {applied + running:.0f} s")
    checkout.git("revert", "--no-edit", "HEAD")
    checkout.git("push", "--quiet", "origin", "HEAD:main")
    applied = seconds_until(lambda: checkout.applied == checkout.git("rev-parse", "HEAD"), "the revert applied")
    checkout.service.wait_for_rollout()
    running = seconds_until(lambda: checkout.service.model()["digest"] == first, "the first model")
    assert checkout.image == images.service
    report(f"its revert: applied after {applied:.0f} s")


def test_what_somebody_changes_by_hand_is_noticed_and_put_back(
    checkout: Checkout, images: Images, report: Report
) -> None:
    kubectl = checkout.service.kubectl
    said = checkout.log.read_text(encoding="utf-8").count("configured")
    kubectl.run("set", "image", f"deployment/{API}", f"{API}={images.next}")
    kubectl.run("delete", "service", API_SERVICE)
    image = seconds_until(lambda: checkout.image == images.service, "the image of the repository")
    service = seconds_until(lambda: exists(kubectl, "service", API_SERVICE), "the Service")
    checkout.service.wait_for_rollout()
    assert checkout.log.read_text(encoding="utf-8").count("configured") > said
    report(f"another image put back after {image:.0f} s, a deleted Service after {image + service:.0f} s")


def test_a_commit_that_cannot_be_built_changes_nothing(checkout: Checkout, images: Images, report: Report) -> None:
    before = {pod["metadata"]["uid"] for pod in checkout.service.ready_pods()}
    applied = checkout.applied
    good = (checkout.folder / ENVIRONMENT / "kustomization.yaml").read_text(encoding="utf-8")
    checkout.write("resources: [../../overlays/none-such]\n", "test: a mistake")
    until(lambda: checkout.ready() not in {"", "True", "Unknown"}, "a complaint", RECONCILED_S)
    report(f"said: {checkout.ready()[:160]}")
    wait(10.0)
    assert {pod["metadata"]["uid"] for pod in checkout.service.ready_pods()} == before
    assert checkout.image == images.service
    assert checkout.applied == applied
    checkout.write(good, "test: without the mistake")
    until(lambda: checkout.ready() == "True", "no complaint any more", RECONCILED_S)
