"""A Job trains `lab` on opinions in PostgreSQL and proposes it; serving pods cost no more than without the loop."""

import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
import pytest

from mlapi.bundles.store import read_manifest
from mlapi.settings import LAB_BUNDLE
from tests.architecture.source_rules import ROOT
from tests.cluster import learning
from tests.cluster.cgroup import look
from tests.cluster.conftest import RESTRICTED, Images, Report, missing
from tests.cluster.installation import install
from tests.cluster.kubectl import Object
from tests.cluster.learning import LAB, LEARN, LEARN_SERVICE, POSTGRES, Site
from tests.cluster.namespaces import namespace
from tests.cluster.service import API, Service
from tests.cluster.waiting import until
from tests.learning import WHOLE
from tests.opinions import TEXTS, drift_alert

FIRST: Final = read_manifest(LAB_BUNDLE).digest
COMPONENT: Final = ROOT / ".k8s/components/learning-loop"
TICK: Final = "learn-tick"
HOME: Final = "/tmp"  # noqa: S108  the pod's own
TURN_S: Final = 480.0
MIB: Final = 1024 * 1024
PODS: Final = 2
OPINIONS: Final = 150 * learning.OPINIONS_A_TEXT

SLACK: Final = 0.02
"""By how much more memory may be resident: what differs from one start to the next."""

SLACK_START: Final = 0.3
"""The same for the processor's time of a start, on a machine that does other things besides."""

NEEDS_TO_TRAIN: Final = ("sklearn", "optuna", "torch", "transformers", "training")

pytestmark = [
    pytest.mark.skipif(not os.environ.get("CLUSTER_LEARNING"), reason="CLUSTER_LEARNING=1 asks for it: more images"),
    pytest.mark.timeout(1500),
]


@dataclass(frozen=True, slots=True)
class Start:
    """What the pods of a Deployment took to become ready, and what they hold then.

    Attributes:
        cpu_s: processor's time of the service's process.
        resident: bytes at its peak.
        working_set: bytes of the container.
        image: as the node knows it.
    """

    cpu_s: float
    resident: float
    working_set: float
    image: str

    def __str__(self) -> str:
        """In one line."""
        return (
            f"{self.cpu_s:.2f} s of processor's time, {self.resident / MIB:.1f} MiB resident, "
            f"working set {self.working_set / MIB:.1f} MiB"
        )


@dataclass(frozen=True, slots=True)
class Learning:
    """The service with the loop beside it, and what its starts were like without."""

    service: Service
    site: Site
    before: Mapping[str, Start]
    after: Mapping[str, Start]


def started(service: Service, name: str) -> Start:
    """Look at pods that have just become ready and that nobody has asked yet."""
    times, peaks, sets, used = [], [], [], set()
    for pod in service.ready_pods(name):
        found = pod["metadata"]["name"]
        stat = service.kubectl.exec(found, "cat", "/proc/1/stat", container=API).rpartition(")")[2].split()
        times.append((int(stat[11]) + int(stat[12])) / 100)
        usage = look(service.kubectl, found, API)
        peaks.append(usage.peak_resident)
        sets.append(usage.working_set)
        used.add(next(each["imageID"] for each in pod["status"]["containerStatuses"] if each["name"] == API))
    assert len(times) == PODS
    (image,) = used
    return Start(statistics.mean(times), statistics.mean(peaks), statistics.mean(sets), image)


def start_anew(service: Service, names: Sequence[str]) -> Mapping[str, Start]:
    """Start the pods again one Deployment after the other, so that they do not wait for each other's processors."""
    found = {}
    for name in names:
        service.kubectl.run("rollout", "restart", f"deployment/{name}")
        service.wait_for_rollout(name)
        service.wait_until_only_current_pods(name)
        found[name] = started(service, name)
    return found


def image(name: str) -> str:
    """The NAME:TAG that the environment names."""
    found = os.environ.get(f"CLUSTER_IMAGE_{name}")
    if not found:
        missing(f"CLUSTER_IMAGE_{name} names no image")
    return found


def small(name: str, **fields: object) -> Object:
    """A change: two pods that ask for little of the processor."""
    container = {"name": API, "resources": {"requests": {"cpu": "50m"}}, **fields}
    return change("apps/v1", "Deployment", name, {"replicas": PODS, "template": {"spec": {"containers": [container]}}})


def change(version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def plan(site: Site) -> Object:
    """A change: the component's own plan, with the repository of the test and where `lab` answers."""
    of_site = (
        f'overlay = {{ repository = "{site.url}", branch = "main", file = "{learning.FILE}" }}\n'
        'canary = { url = "http://lab-service:8000/lab/model" }\n'
    )
    text = (COMPONENT / "learning.toml").read_text(encoding="utf-8") + of_site
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mlapi-learning"},
        "data": {"learning.toml": text},
    }


def with_loop(site: Site) -> Sequence[Object]:
    """What a person who installs it changes in the overlay."""

    def claim(name: str) -> Object:
        return change(
            "v1",
            "PersistentVolumeClaim",
            name,
            {"storageClassName": "", "volumeName": f"{name}-{site.kubectl.namespace}"},
        )

    git_access = {"name": "git-access", "secret": {"secretName": "git-access", "defaultMode": 0o440}}
    tick = {
        "containers": [
            {
                "name": API,
                "resources": {"requests": {"cpu": "50m"}},
                "env": [{"name": "GIT_SSL_CAINFO", "value": "/git/ca.pem"}],
                "volumeMounts": [
                    {"name": "git-access", "mountPath": "/git", "readOnly": True},
                    {"name": "git-access", "mountPath": f"{HOME}/.netrc", "subPath": ".netrc", "readOnly": True},
                ],
            }
        ],
        "volumes": [git_access],
    }
    from_volume = {
        "containers": [
            {
                "name": API,
                "env": [{"name": "MLAPI_BUNDLE", "value": f"/models/{FIRST}"}],
                "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "lab-models", "readOnly": True}}],
    }
    subjects = [
        {"name": "MLAPI_CLIENT_HEADER", "value": "x-user"},
        {"name": "MLAPI_FEEDBACK_VOTES_PER_MINUTE", "value": "0"},
    ]
    return [
        claim("postgres-data"),
        claim("learn-data"),
        plan(site),
        change(
            "batch/v1",
            "CronJob",
            TICK,
            {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": tick}}}},
        ),
        change("apps/v1", "Deployment", LAB, {"template": {"spec": from_volume}}),
        change(
            "apps/v1", "Deployment", LEARN, {"template": {"spec": {"containers": [{"name": API, "env": subjects}]}}}
        ),
    ]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder of the node that pods may enter; these tests run on the node."""
    with tempfile.TemporaryDirectory(prefix="mlapi-learning-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def loop(images: Images, folder: Path) -> Iterator[Learning]:
    """Both models without the loop, and then with it."""
    more = {
        "mlapi-learn": image("LEARN"),
        "mlapi-training": image("TRAINING"),
        "docker.io/library/postgres": image("POSTGRES"),
    }
    with ExitStack() as stack:
        own = stack.enter_context(namespace("learning-loop", RESTRICTED))
        both = [small(API), small(LAB)]
        service = install(own, images.service, components=[LAB], changes=both)
        service.wait_for_rollout(LAB)
        before = start_anew(service, (API, LAB))
        site = stack.enter_context(learning.site(own, folder, FIRST))
        models = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "lab-models"},
            "spec": {
                "accessModes": ["ReadOnlyMany"],
                "storageClassName": "",
                "volumeName": f"lab-models-{own.namespace}",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        own.apply(json.dumps(models))
        install(
            own,
            images.service,
            components=[LAB, "learning", "learning-loop"],
            changes=[*both, *with_loop(site)],
            more_images=more,
        )
        for name in (LAB, POSTGRES, LEARN):
            service.wait_for_rollout(name)
        yield Learning(service, site, before, start_anew(service, (API, LAB)))


def test_the_start_and_the_memory_of_what_serves_are_the_same_with_the_loop(loop: Learning, report: Report) -> None:
    for name, before in loop.before.items():
        after = loop.after[name]
        report(f"{name} without the loop: {before}")
        report(f"{name} with the loop: {after}")
        assert after.image == before.image
        assert after.resident <= before.resident * (1 + SLACK)
        assert after.working_set <= before.working_set * (1 + SLACK) + MIB
        assert after.cpu_s <= before.cpu_s * (1 + SLACK_START)


def test_nothing_that_trains_is_where_something_serves(loop: Learning) -> None:
    look_for = f"import importlib.util as u; print([n for n in {NEEDS_TO_TRAIN!r} if u.find_spec(n)])"
    for name in (API, LAB, LEARN):
        pod = loop.service.ready_pods(name)[0]["metadata"]["name"]
        assert loop.service.kubectl.exec(pod, "python", "-c", look_for, container=API).strip() == "[]"


def status(loop: Learning, *arguments: str) -> Sequence[Object]:
    """What `mlapi learn status` says, asked where opinions are taken, as the component's README says."""
    command = ("env", "--unset=MLAPI_BUNDLE", "mlapi", "learn", "status", "--json", *arguments)
    found: Sequence[Object] = json.loads(loop.service.kubectl.run("exec", f"deployment/{LEARN}", "--", *command))
    return found


def state(loop: Learning) -> str:
    """How far the latest run is; what went wrong, if it has ended badly."""
    (row,) = status(loop, "--count", "1")
    assert row["state"] not in {"failed", "rejected", "rolled_back"}, json.dumps(row, indent=1) + said(loop)
    return str(row["state"])


def said(loop: Learning) -> str:
    """What the turns wrote."""
    kubectl = loop.service.kubectl
    logs = kubectl.run("logs", "--selector", f"app.kubernetes.io/component={TICK}", "--tail=60", "--prefix")
    return f"\n{loop.service.state()}\n{logs}\n{kubectl.run('get', 'jobs', '--output', 'wide')}"


def failed_jobs(loop: Learning) -> set[str]:
    """The turns that did not succeed."""
    jobs = loop.service.kubectl.list("jobs")
    return {str(job["metadata"]["name"]) for job in jobs if job["status"].get("failed")}


def alert(loop: Learning) -> str:
    """Let Alertmanager tell that the predictions of `lab` drift; return the run that was asked for."""
    fired = drift_alert(datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
    sent = httpx.post(f"{loop.service.url_of(LEARN_SERVICE, '/learn')}/alerts", json=fired, timeout=30)
    assert sent.status_code == 202, sent.text
    (run,) = sent.json()["new"]
    return str(run)


def test_a_job_trains_on_opinions_proposes_and_sees_its_model_served(loop: Learning, report: Report) -> None:
    service, site = loop.service, loop.site
    # Turns may have begun before PostgreSQL was there.
    early = failed_jobs(loop)
    errors = learning.wrong(service)
    assert learning.give_opinions(service, list(TEXTS)[: OPINIONS // learning.OPINIONS_A_TEXT]) == OPINIONS
    run = alert(loop)
    until(lambda: state(loop) == "canary", "a proposal", TURN_S)
    (row,) = status(loop, run)
    candidate = row["candidate"]
    report(f"{OPINIONS} opinions, an alert, and the Job proposed {candidate[:12]} instead of {row['champion'][:12]}")
    assert row["champion"] == FIRST
    assert site.commits() == [f"Deploy lab {candidate[:12]}", "Deploy the first model"]
    assert f"Dataset: {row['dataset']}" in site.message()
    assert site.deployed() == learning.served(candidate)
    assert (site.data / "bundles" / candidate / "bundle.json").exists()
    assert service.predict(["the film is snazzy"], service=learning.LAB_SERVICE, root="/lab").is_success

    # Whoever deploys: what the repository says becomes the running version.
    service.kubectl.run("patch", "deployment", LAB, "--patch", json.dumps(site.deployed()))
    service.wait_for_rollout(LAB)
    until(lambda: state(loop) == "promoted", "a promotion", TURN_S)
    (row,) = status(loop, run)
    assert [step["state"] for step in row["steps"]] == [each.value for each in WHOLE]
    times = [step["time_ms"] / 1000 for step in row["steps"]]
    report(", ".join(f"{step['state']} at {at - times[0]:.0f} s" for step, at in zip(row["steps"], times, strict=True)))
    better = learning.wrong(service)
    report(f"of {len(TEXTS)} texts {errors} were answered wrongly, and {better} are by the model that learned")
    assert better < errors / 4
    assert failed_jobs(loop) <= early, said(loop)
    # The texts that people sent are not kept once they have been learned from.
    assert list((site.data / "datasets").iterdir()) == []
