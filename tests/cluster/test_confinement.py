"""What the pods can reach, and who can reach them; what their account and their processes may do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.architecture.source_rules import ROOT
from tests.cluster import bystanders
from tests.cluster.bystanders import reach
from tests.cluster.conftest import RESTRICTED, Images, Report
from tests.cluster.installation import install, pod
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.namespaces import namespace
from tests.cluster.service import API, API_SERVICE, REDIS, REDIS_SERVICE, Service, cache_status
from tests.cluster.waiting import until

PORTS: Final = {API: 8000, REDIS: 6379}
SERVICES: Final = {API: API_SERVICE, REDIS: REDIS_SERVICE}

ENFORCED_S: Final = 30.0
"""How long the cluster may take to enforce a policy on a new pod."""

ARBITRARY_UID: Final = 1_000_680_000
"""Such as OpenShift gives to a namespace."""

WRITE: Final = "open({!r}, 'w').close()"
IDENTITY: Final = "import os; print(os.getuid(), os.getgid(), *os.getgroups())"
RIGHTS: Final = "print(*[line for line in open('/proc/1/status') if line.startswith(('Cap', 'NoNewPrivs'))], sep='')"
RESOLVE: Final = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Scene:
    """The service out of the base alone, and pods around it.

    Attributes:
        service: the service.
        strangers: by a word for it, the namespace and name of a pod that has no business here.
        client: the name of a pod that is labelled as a client.
        beside: the address of the stranger beside the service.
        elsewhere: the address of one in a namespace without other policies.
    """

    service: Service
    strangers: dict[str, tuple[Kubectl, str]]
    client: str
    beside: str
    elsewhere: str

    @property
    def kubectl(self) -> Kubectl:
        """The service's namespace."""
        return self.service.kubectl

    def pod(self, deployment: str) -> str:
        """The name of a pod of the service."""
        name: str = self.service.ready_pods(deployment)[0]["metadata"]["name"]
        return name

    def addresses(self, deployment: str) -> tuple[str, str]:
        """The address of a pod of the service, and of its Service."""
        found = self.service.ready_pods(deployment)[0]["status"]["podIP"]
        return found, self.kubectl.get("service", SERVICES[deployment])["spec"]["clusterIP"]

    def outside(self) -> dict[str, tuple[str, int]]:
        """What a pod without policies reaches here: there is no network beyond the cluster to try."""
        api_server = Kubectl("default").get("service", "kubernetes")["spec"]["clusterIP"]
        return {"the API server": (api_server, 443), "a pod elsewhere": (self.elsewhere, bystanders.PORT)}


@pytest.fixture(scope="module")
def scene(kubectl: Kubectl, images: Images) -> Iterator[Scene]:
    service = install(kubectl, images.service, source="base")
    beside = bystanders.start(kubectl, "stray", images.service)
    bystanders.start(kubectl, "client", images.service, {"mlapi/client": "true"})
    with namespace("elsewhere", RESTRICTED) as other:
        elsewhere = bystanders.start(other, "stray", images.service, {"mlapi/client": "true"})
        strangers = {"beside": (kubectl, "stray"), "elsewhere": (other, "stray")}
        yield Scene(service, strangers, "client", beside, elsewhere)


def test_the_service_works_and_shares_its_cache(scene: Scene) -> None:
    text = ["Policies hold, and the cache is reached."]
    assert "fwd=miss" in cache_status(scene.service.predict(text))
    assert "; hit" in cache_status(scene.service.predict(text))
    assert scene.service.health()["cache"]["status"] == "ok"


@pytest.mark.parametrize("where", ["beside", "elsewhere"])
@pytest.mark.parametrize("deployment", [REDIS, API])
def test_a_stranger_reaches_neither_redis_nor_the_api(
    scene: Scene, where: str, deployment: str, report: Report
) -> None:
    kubectl, name = scene.strangers[where]
    for address in scene.addresses(deployment):

        def shut(address: str = address) -> bool:
            return reach(kubectl, name, address, PORTS[deployment]) == "no answer"

        until(shut, f"{address} shut", ENFORCED_S)
        report(f"a pod {where} → {deployment} at {address}:{PORTS[deployment]}: no answer")


def test_a_client_reaches_the_api_but_not_redis(scene: Scene, report: Report) -> None:
    for deployment, expected in ((API, "open"), (REDIS, "no answer")):
        for address in scene.addresses(deployment):

            def as_expected(address: str = address) -> bool:
                return reach(scene.kubectl, scene.client, address, PORTS[deployment]) == expected  # noqa: B023

            until(as_expected, f"{address} {expected}", ENFORCED_S)
            report(f"a pod beside, labelled as a client → {deployment} at {address}: {expected}")


def test_the_api_reaches_redis_and_names_only(scene: Scene, report: Report) -> None:
    kubectl, api = scene.kubectl, scene.pod(API)
    assert reach(kubectl, api, REDIS_SERVICE, PORTS[REDIS]) == "open"
    assert kubectl.exec(api, "python3", "-c", RESOLVE, "kubernetes.default.svc.cluster.local").strip()
    report(f"the API's pod → {REDIS_SERVICE}:{PORTS[REDIS]}: open, its name resolved")
    other, stray = scene.strangers["elsewhere"]
    for name, (host, port) in scene.outside().items():
        assert reach(other, stray, host, port) == "open"
        report(f"a pod elsewhere → {name} at {host}:{port}: open")
        found = reach(kubectl, api, host, port)
        report(f"the API's pod → {name} at {host}:{port}: {found}")
        assert found == "no answer"
    assert reach(kubectl, api, scene.beside, bystanders.PORT) == "no answer"
    report(f"the API's pod → a pod beside at {scene.beside}:{bystanders.PORT}: no answer")


def test_the_account_may_do_nothing_beyond_the_default(scene: Scene, report: Report) -> None:
    def allowed(account: str) -> str:
        full = f"system:serviceaccount:{scene.kubectl.namespace}:{account}"
        return scene.kubectl.read("auth", "can-i", "--list", "--as", full)

    for deployment in (API, REDIS):
        account = scene.kubectl.get("deployment", deployment)["spec"]["template"]["spec"]["serviceAccountName"]
        assert account != "default"
        rights = allowed(account)
        if deployment == API:
            report(f"kubectl auth can-i --list as {account}, and as an account that nobody granted anything:\n{rights}")
        assert "Resources" in rights
        assert rights == allowed("nobody-granted-this-one-anything")
        with pytest.raises(KubectlError, match="No such file"):
            scene.kubectl.exec(scene.pod(deployment), "ls", "/var/run/secrets/kubernetes.io/serviceaccount")


def test_a_deployer_may_change_the_granted_kinds_and_no_others(scene: Scene, report: Report) -> None:
    def may(*group: str) -> set[str]:
        listed = scene.kubectl.read("auth", "can-i", "--list", "--no-headers", "--as", "somebody", *group)
        return {line.split()[0] for line in listed.splitlines()}

    group = ("--as-group", "mlapi-deployers")
    before = may(*group)
    assert before == may()
    scene.kubectl.run("apply", "--kustomize", str(ROOT / ".k8s/deployers"))
    added = may(*group) - before
    assert {"virtualservices.networking.istio.io", "canaries.flagger.app"} <= added
    assert all("." in kind for kind in added), "a kind of Kubernetes' own"
    assert may() == before
    report(f"a deployer may change, beyond EKS's edit policy: {', '.join(sorted(added))}")


def test_the_process_is_nobody_and_its_root_is_read_only(scene: Scene, report: Report) -> None:
    kubectl, api = scene.kubectl, scene.pod(API)
    identity = kubectl.exec(api, "python3", "-c", IDENTITY).split()
    rights = dict(line.split() for line in kubectl.exec(api, "python3", "-c", RIGHTS).splitlines() if line)
    assert identity[0] != "0"
    assert rights.pop("NoNewPrivs:") == "1"
    assert {int(value, 16) for value in rights.values()} == {0}
    for path in ("/here", "/app/here", "/opt/mlapi/here", "/tmp/here", "/var/here"):  # noqa: S108  nothing is written
        with pytest.raises(KubectlError, match="Read-only file system"):
            kubectl.exec(api, "python3", "-c", WRITE.format(path))
    report(
        f"the API's process: uid, gid, groups {' '.join(identity)}; no capability, no new privileges; read-only root"
    )


def test_any_user_id_will_do(scene: Scene, images: Images, report: Report) -> None:
    security = {"runAsUser": ARBITRARY_UID, "runAsGroup": ARBITRARY_UID}
    install(scene.kubectl, images.service, source="base", changes=[pod(securityContext=security)])
    scene.service.wait_until_only_current_pods()
    identity = scene.kubectl.exec(scene.pod(API), "python3", "-c", IDENTITY).split()
    assert identity[0] == str(ARBITRARY_UID)
    assert scene.service.predict(["Whoever you are."]).status_code == 200
    report(f"the API's process as user {identity[0]}: ready, answers")
