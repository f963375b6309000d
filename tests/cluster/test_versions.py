"""Two versions side by side: each answers for its own model, and they share a Redis without sharing an entry."""

import json
from collections import Counter
from functools import partial

import httpx
import pytest

from tests.cluster.conftest import Images, Report
from tests.cluster.installation import install
from tests.cluster.kubectl import Kubectl, KubectlError, Object
from tests.cluster.service import API, API_SERVICE, REDIS, Service, cache_status
from tests.cluster.waiting import until

SECOND = "mlapi-v2"
SECOND_SERVICE = "mlapi-v2-service"
TEXT = "Both versions are asked this."
HIT_S = 20.0
WAY_S = 30.0
INSTANCE = "app.kubernetes.io/instance"


@pytest.fixture(scope="module")
def service(kubectl: Kubectl, images: Images, istio_kinds: None) -> Service:
    """The prod overlay as it is, and beside it the same once more with another model."""
    del istio_kinds
    service = install(kubectl, images.service, source="overlays/prod")
    for found, name in (
        (kubectl.get("deployment", API), SECOND),
        (kubectl.get("service", API_SERVICE), SECOND_SERVICE),
    ):
        kubectl.apply(json.dumps(second(found, name, images.next)))
    service.wait_for_rollout(SECOND)
    return service


def second(found: Object, name: str, image: str) -> Object:
    """The same object of another instance, and with another image where it has any."""
    spec = found["spec"]
    for address in ("clusterIP", "clusterIPs"):
        spec.pop(address, None)
    if "template" in spec:
        spec["replicas"] = 1
        pod = spec["template"]["spec"]
        for container in (*pod["initContainers"], *pod["containers"]):
            container["image"] = image
        spec["template"]["metadata"]["labels"][INSTANCE] = SECOND
        spec["selector"]["matchLabels"][INSTANCE] = SECOND
    else:
        spec["selector"][INSTANCE] = SECOND
    labels = found["metadata"]["labels"] | {INSTANCE: SECOND}
    return {key: found[key] for key in ("apiVersion", "kind")} | {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


def test_the_api_server_knows_what_it_accepted(service: Service, report: Report) -> None:
    """It has Istio's definitions, so that what it accepted was checked: something wrong is refused."""
    kubectl = service.kubectl
    for kind in ("virtualservice", "destinationrule", "horizontalpodautoscaler"):
        report(f"accepted: {', '.join(found['metadata']['name'] for found in kubectl.list(kind))} ({kind})")
    with pytest.raises(KubectlError, match="is invalid"):
        kubectl.patch("virtualservice", "mlapi", {"spec": {"http": [{"route": [{"weight": 100}]}]}})
    report("refused: the same VirtualService with a route that leads nowhere")


def leads_somewhere(service: Service, name: str) -> bool:
    """Whether the node knows by now where a Service leads; a moment after its pods are ready it may not."""
    try:
        return httpx.get(f"{service.url_of(name)}/model").is_success
    except httpx.ConnectError:
        return False


def test_each_answers_for_its_own_model_and_shares_no_entry(service: Service, report: Report) -> None:
    digests = {}
    for name in (API_SERVICE, SECOND_SERVICE):
        until(partial(leads_somewhere, service, name), f"a way from {name} to a pod", WAY_S)
        first = service.predict([TEXT], service=name)
        digests[name] = first.headers["model-digest"]
        # The other version's entry of the same text is there by now, and is not taken for ours.
        assert "fwd=miss" in cache_status(first)
        labels = {item["label"] for item in first.json()["predictions"][0]}
        assert labels == {API_SERVICE: {"POSITIVE", "NEGATIVE"}, SECOND_SERVICE: {"GOOD", "BAD"}}[name]

        def hit(name: str = name) -> bool:
            return "; hit" in cache_status(service.predict([TEXT], service=name))

        until(hit, "a hit", HIT_S)
        report(f"{name}: model {digests[name]}, labels {sorted(labels)}, a miss and then a hit")
    assert len(set(digests.values())) == len(digests)
    redis = service.ready_pods(REDIS)[0]["metadata"]["name"]
    keys = service.kubectl.exec(redis, "redis-cli", "--scan").split()
    owners = Counter(key.split(":")[2] for key in keys)
    assert owners == dict.fromkeys(digests.values(), 1)
    report(f"entries in the one Redis, by model: {json.dumps(owners)}")
