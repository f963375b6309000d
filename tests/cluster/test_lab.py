"""Both models beside each other: each Service answers for its own, and the small one needs no Redis."""

import pytest

from tests.cluster.conftest import Images, Report
from tests.cluster.installation import install
from tests.cluster.kubectl import Kubectl
from tests.cluster.service import API_SERVICE, REDIS, Service, cache_status
from tests.cluster.waiting import until

LAB = "lab"
LAB_SERVICE = "lab-service"
TEXT = "Both models are asked this: what a wonderful film."
HIT_S = 20.0


@pytest.fixture(scope="module")
def service(kubectl: Kubectl, images: Images) -> Service:
    """The dev overlay with the small model."""
    service = install(kubectl, images.service, components=["lab"])
    service.wait_for_rollout(LAB)
    return service


def test_each_service_answers_for_its_own_model(service: Service, report: Report) -> None:
    digests = {}
    for name, root in ((API_SERVICE, "/project"), (LAB_SERVICE, "/lab")):
        first = service.predict([TEXT], service=name, root=root)
        assert "fwd=miss" in cache_status(first)
        assert first.json()["predictions"][0][0]["label"] == "POSITIVE"
        digests[name] = first.headers["model-digest"]

        def hit(name: str = name, root: str = root) -> bool:
            return "; hit" in cache_status(service.predict([TEXT], service=name, root=root))

        until(hit, f"a hit of {name}", HIT_S)
        report(f"{name}{root}: model {digests[name]}, a miss and then a hit")
    assert len(set(digests.values())) == len(digests)


def test_the_small_model_leaves_nothing_in_redis(service: Service) -> None:
    digest = service.predict([TEXT], service=LAB_SERVICE, root="/lab").headers["model-digest"]
    redis = service.ready_pods(REDIS)[0]["metadata"]["name"]
    keys = service.kubectl.exec(redis, "redis-cli", "--scan").split()
    assert keys
    assert [key for key in keys if digest in key] == []


def test_a_small_pod_is_small_and_stays(service: Service, report: Report) -> None:
    for number in range(5):
        texts = [f"a bulk of many short texts, number {number}-{index} of them" for index in range(2000)]
        assert service.predict(texts, service=LAB_SERVICE, root="/lab").is_success
    for pod in service.ready_pods(LAB):
        (status,) = pod["status"]["containerStatuses"]
        assert status["restartCount"] == 0
    report(f"{len(service.ready_pods(LAB))} pods of {LAB}, none restarted")
