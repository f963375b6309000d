"""New versions judged by Flagger under load: a good one gets all traffic, and each bad one goes back without help."""

import hashlib
import io
import json
import os
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.architecture.source_rules import ROOT
from tests.cluster import flagger, gateway
from tests.cluster.arrivals import Answer, Arrivals
from tests.cluster.conftest import RESTRICTED, Images, Report
from tests.cluster.flagger import Judged
from tests.cluster.installation import install
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.namespaces import namespace
from tests.cluster.service import API, Service
from tests.cluster.timeline import Line, Panel, render, steps
from tests.cluster.waiting import until, wait
from tests.programs import find_program
from tools.monitor import running_prometheus
from tools.promotion import Repository, settle

SCRAPING: Final = ROOT / "monitoring/prometheus-kubernetes.yaml"
PROMETHEUS_PORT: Final = 9091
PICTURE: Final = os.environ.get("CLUSTER_CANARY_PICTURE", "")

PRIMARY: Final = "mlapi-primary"
GATE: Final = "mlapi-rollout-gate"
RATE: Final = 20
MISS_WORDS: Final = 3
INTERVAL_S: Final = 15
"""Between two looks at the figures, in place of the component's 30."""

WINDOW_S: Final = 30
SETTLE_S: Final = 20.0
READY_S: Final = 240.0
JUDGED_S: Final = 420.0
BUCKET_S: Final = 5.0
HOT_TEXTS: Final = [f"The film number {number} was a pleasure." for number in range(200)]
SLOW_S: Final = 0.5
NOISE: Final = 0.03
"""By how much the share of hits may be lower while traffic moves."""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("CLUSTER_CANARY"), reason="CLUSTER_CANARY=1 asks for it: Flagger, Contour"),
    pytest.mark.timeout(JUDGED_S + 600),
]


@dataclass(frozen=True, slots=True)
class Rollout:
    """The service behind the gateway, with Flagger watching it."""

    service: Service
    url: str
    log: Path

    def change_to(self, image: str) -> None:
        """Name another image, as a commit does."""
        names = ("mlapi", "wait-for-redis")
        self.service.kubectl.run("set", "image", f"deployment/{API}", *(f"{name}={image}" for name in names))

    def state(self) -> str:
        """What a person would look at first."""
        return f"{self.service.state()}\n{self.log.read_text(encoding='utf-8')[-6000:]}"


def changes() -> Sequence[Object]:
    """What is different here: two processors for all, an own Prometheus, and shorter looks."""
    small = {"requests": {"cpu": "100m"}}
    metrics = [
        {
            "name": name,
            "interval": f"{WINDOW_S}s",
            "templateRef": {"name": f"mlapi-{name}"},
            "thresholdRange": {"max": most},
        }
        for name, most in (("failures", 1), ("refused", 1), ("latency", SLOW_S), ("labels", 25))
    ]
    hook = {"type": "pre-rollout", "name": "warm-and-compare", "timeout": "3m", "muteAlert": False, "url": ""}
    analysis = {"interval": f"{INTERVAL_S}s", "metrics": metrics, "webhooks": [hook]}
    provider = {"type": "prometheus", "address": f"http://127.0.0.1:{PROMETHEUS_PORT}"}
    containers = {
        "initContainers": [{"name": "wait-for-redis", "resources": small}],
        "containers": [{"name": API, "resources": small}],
    }

    return [
        _change("flagger.app/v1beta1", "Canary", API, {"analysis": analysis, "progressDeadlineSeconds": 60}),
        *(
            _change("flagger.app/v1beta1", "MetricTemplate", f"mlapi-{name}", {"provider": provider})
            for name in ("failures", "refused", "latency", "labels")
        ),
        _change("apps/v1", "Deployment", API, {"template": {"spec": containers}}),
        _change("apps/v1", "Deployment", "lab", {"replicas": 1}),
        _change("autoscaling/v2", "HorizontalPodAutoscaler", API, {"maxReplicas": 2}),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "mlapi-rollout-texts"},
            "data": {"texts.txt": "\n".join(HOT_TEXTS)},
        },
    ]


def _change(version: str, kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def prometheus_config(scraped: str) -> Object:
    """The job of `monitoring`, for one namespace and looking more often."""
    config: Object = yaml.safe_load(SCRAPING.read_text(encoding="utf-8"))
    for job in config["scrape_configs"]:
        job["scrape_interval"] = "5s"
        for discovery in job["kubernetes_sd_configs"]:
            discovery |= {"kubeconfig_file": os.environ["KUBECONFIG"], "namespaces": {"names": [scraped]}}
    return config


@pytest.fixture(scope="module")
def rollout(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    """The staging overlay, judged, behind the gateway; the version under test has been found good."""
    folder = tmp_path_factory.mktemp("canary")
    with ExitStack() as stack:
        way_in = stack.enter_context(gateway.running())
        stack.enter_context(flagger.kinds())
        own = stack.enter_context(namespace("canary", RESTRICTED))
        url = stack.enter_context(
            running_prometheus(find_program("prometheus"), prometheus_config(own.namespace), folder, PROMETHEUS_PORT)
        )
        service = install(
            own,
            images.service,
            source="overlays/staging",
            components=["canary", "contour-canary"],
            changes=changes(),
        )
        service.wait_for_rollout(GATE)
        _name_the_gate(own)
        log = stack.enter_context(flagger.running(folder, own.namespace, url))
        # While Flagger is there to take its finalizer away.
        stack.callback(own.run, "delete", "canary", API, "--timeout=90s", timeout_s=120)
        found = Rollout(service, f"{way_in.url}/predict", log)
        until(lambda: phase(own) == "Initialized", "what runs taken for good", READY_S)
        until(lambda: gateway.answers(way_in.url), "an answer through the gateway", READY_S)
        yield found


def _name_the_gate(kubectl: Kubectl) -> None:
    """Flagger runs on the node here, which does not know the cluster's names: give it the address."""
    address = kubectl.get("service", GATE)["spec"]["clusterIP"]
    hooks = kubectl.get("canary", API)["spec"]["analysis"]["webhooks"]
    hooks[0]["url"] = f"http://{address}:8080/pre-rollout"
    kubectl.patch("canary", API, {"spec": {"analysis": {"webhooks": hooks}}})


def phase(kubectl: Kubectl) -> str:
    """Flagger's word for how far it is."""
    found: str = kubectl.get("canary", API).get("status", {}).get("phase", "")
    return found


def image_of(kubectl: Kubectl, deployment: str) -> str:
    """What a Deployment runs."""
    found: str = kubectl.get("deployment", deployment)["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def judge(rollout: Rollout, image: str, report: Report, expected: str) -> tuple[Judged, list[Answer], float]:
    """Change to an image under load; return what Flagger did, all answers, and when the image was named."""
    kubectl = rollout.service.kubectl
    with (
        flagger.watched(kubectl, API) as judged,
        Arrivals(rollout.url, rate=RATE, miss_words=MISS_WORDS, host=gateway.HOST) as arrivals,
    ):
        wait(SETTLE_S)
        changed = time.time() - judged.began
        rollout.change_to(image)
        until(lambda: phase(kubectl) not in {"Initialized", "Succeeded", "Failed"}, "a look at the new version", 60)
        until(lambda: phase(kubectl) in {"Succeeded", "Failed"}, "a judgement", JUDGED_S)
        wait(SETTLE_S / 2)
        answers = list(arrivals.answers)
        report(arrivals.summary())
    report(f"{image}: named at {changed:.0f} s; {judged}")
    models = sorted({answer.model[:12] for answer in answers if answer.model})
    for model in models:
        own = [answer for answer in answers if answer.model.startswith(model)]
        report(f"model {model}: {len(own)} answers, {sum(not answer.good for answer in own)} of them no predictions")
    assert judged.phase == expected, rollout.state()
    return judged, answers, changed


def hits(answers: Sequence[Answer], since: float, until_s: float) -> float:
    """The share of hits among known texts."""
    known = [answer for answer in answers if answer.known and since <= answer.at < until_s]
    assert known
    return sum(answer.hit for answer in known) / len(known)


def went_back(rollout: Rollout, judged: Judged, changed: float, report: Report) -> float:
    """Nothing is left of a version that was rolled back, in the cluster or in Git; return how long that took."""
    service = rollout.service
    failed = judged.reached("Failed")
    assert failed is not None
    assert judged.shares[-1] == 0
    report(f"rolled back {failed - changed:.0f} s after its image was named")
    service.wait_until_none(API)
    kubectl = service.kubectl
    assert image_of(kubectl, PRIMARY) != image_of(kubectl, API)
    assert len(service.ready_pods(PRIMARY)) == kubectl.get("deployment", PRIMARY)["spec"]["replicas"]
    report(settled(kubectl))
    return failed - changed


def settled(kubectl: Kubectl) -> str:
    """Have a repository that names the version tell the truth, by what the cluster says; return what was done.

    The node has images by tags and no digests: each is given one.
    """
    said = kubectl.run("get", f"canary/{API}", f"deployment/{API}", f"deployment/{PRIMARY}", "--output", "json")
    images = image_of(kubectl, PRIMARY), image_of(kubectl, API)
    kept, tried = (f"sha256:{hashlib.sha256(image.encode()).hexdigest()}" for image in images)
    for image, digest in zip(images, (kept, tried), strict=True):
        said = said.replace(f'"image": "{image}"', f'"image": "mlapi@{digest}"')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ".k8s/environments/prod/kustomization.yaml"
        file.parent.mkdir(parents=True)
        file.write_bytes((ROOT / file.relative_to(folder)).read_bytes())
        for command in (
            ["init", "--quiet"],
            ["config", "user.name", "test"],
            ["config", "user.email", "test@example.com"],
            ["add", "."],
            ["commit", "--quiet", "--message", "none"],
        ):
            subprocess.run(["git", "-C", folder, *command], check=True)
        repository = Repository(Path(folder))
        for digest in (kept, tried):
            repository.move("prod", digest, "run it")
        done = settle(repository, "prod", io.StringIO(said))
        assert (repository.digest("prod"), repository.banned()) == (kept, {tried})
        assert "nothing to do" in settle(repository, "prod", io.StringIO(said))
    return done


def picture(judged: Judged, answers: Sequence[Answer], changed: float, end: float) -> str:
    """Shares of the traffic, hits and latencies over time."""

    def over_time(of: Callable[[Sequence[Answer]], float | None]) -> Sequence[tuple[float, float]]:
        buckets: dict[int, list[Answer]] = defaultdict(list)
        for answer in answers:
            buckets[int((answer.at - judged.began) // BUCKET_S)].append(answer)
        values = {number: of(buckets[number]) for number in sorted(buckets)}
        return [((number + 0.5) * BUCKET_S, value) for number, value in values.items() if value is not None]

    def share_of_hits(inside: Sequence[Answer]) -> float | None:
        known = [answer.hit for answer in inside if answer.known]
        return 100 * sum(known) / len(known) if known else None

    def p99(inside: Sequence[Answer]) -> float | None:
        times = sorted(answer.duration_ms for answer in inside)
        return times[int(0.99 * (len(times) - 1))]

    panels = [
        Panel("traffic that the new version gets, %", 0, 100, [Line("share", steps(judged.weights, end))]),
        Panel("hits among known texts, %", 80, 100, [Line("hits", over_time(share_of_hits))]),
        Panel("answers, ms", 0, 200, [Line("p99", over_time(p99))]),
    ]
    marks = [(changed, "new image"), *((at, name) for at, name in judged.phases if at > changed)]
    return render(panels, marks, end)


def test_a_good_version_gets_all_traffic(rollout: Rollout, images: Images, report: Report) -> None:
    judged, answers, changed = judge(rollout, f"{images.service}-good", report, "Succeeded")
    began = judged.began
    before = hits(answers, began + changed / 2, began + changed)
    first = next(at for at, weight in judged.weights if weight)
    end = answers[-1].at
    during = hits(answers, began + first, end)
    report(f"hits among known texts: {before:.1%} before, {during:.1%} from the first shift on")
    if PICTURE:
        Path(PICTURE).write_text(picture(judged, answers, changed, end - began), encoding="utf-8")
    assert [answer.said for answer in answers if not answer.good] == []
    assert [weight for weight in judged.shares if weight][:3] == [10, 50, 100]
    assert judged.shares[-1] == 0
    assert during >= before - NOISE
    assert image_of(rollout.service.kubectl, PRIMARY) == f"{images.service}-good"


@pytest.mark.parametrize("fault", ["flipped", "corrupt"])
def test_a_version_that_the_gate_or_its_start_refuses_gets_no_traffic(
    fault: str, rollout: Rollout, images: Images, report: Report
) -> None:
    judged, answers, changed = judge(rollout, f"{images.service}-{fault}", report, "Failed")
    assert [weight for weight in judged.shares if weight] == []
    assert [answer.said for answer in answers if not answer.good] == []
    assert went_back(rollout, judged, changed, report) < JUDGED_S


@pytest.mark.parametrize("fault", ["failing", "slow"])
def test_a_version_that_is_worse_in_use_goes_back(fault: str, rollout: Rollout, images: Images, report: Report) -> None:
    judged, answers, changed = judge(rollout, f"{images.service}-{fault}", report, "Failed")
    primary = answers[0].model
    assert primary
    # It gets its share and no more; whoever is sent to the version that was found good notices nothing.
    assert 10 <= max(judged.shares) < 100
    assert [answer.said for answer in answers if not answer.good and answer.model == primary] == []
    failed = sum(not answer.good for answer in answers)
    share = failed / len(answers)
    report(f"{failed} of {len(answers)} requests failed, {share:.2%}")
    assert share <= 0.05 if fault == "failing" else failed == 0
    assert went_back(rollout, judged, changed, report) < JUDGED_S


def test_figures_that_nobody_can_give_are_a_no(rollout: Rollout, images: Images, report: Report) -> None:
    """Without any traffic there is nothing to judge by, and so the version goes back."""
    kubectl = rollout.service.kubectl
    # One that Flagger has found good already is not judged again.
    kept = image_of(kubectl, PRIMARY)
    rollout.change_to(images.service if kept != images.service else f"{images.service}-good")
    until(lambda: phase(kubectl) == "Progressing", "a look at the new version", 60)
    until(lambda: phase(kubectl) in {"Succeeded", "Failed"}, "a judgement", JUDGED_S)
    report(f"without traffic: {phase(kubectl)}")
    assert phase(kubectl) == "Failed", json.dumps(kubectl.get("canary", API)["status"])
