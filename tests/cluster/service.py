"""The service as it runs in one namespace: its pods, its address, its rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from tests.cluster.kubectl import Kubectl, KubectlError, Object
from tests.cluster.waiting import until

API: Final = "mlapi"
REDIS: Final = "redis"
API_SERVICE: Final = "mlapi-service"
REDIS_SERVICE: Final = "redis-service"
ROLLOUT_S: Final = 240.0

_REQUEST_S: Final = 30.0
_GONE_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Service:
    """One installation."""

    kubectl: Kubectl

    @property
    def url(self) -> str:
        """Where `/project` is, from inside the cluster's node."""
        return self.url_of(API_SERVICE)

    def url_of(self, service: str, root: str = "/project") -> str:
        """Where a root path of one Service is."""
        spec = self.kubectl.get("service", service)["spec"]
        address = spec["clusterIP"]
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{spec['ports'][0]['port']}{root}"

    def predict(
        self, texts: Sequence[str], *, query: str = "", service: str = API_SERVICE, root: str = "/project"
    ) -> httpx.Response:
        """POST texts to `/predict` on a connection of its own."""
        url = f"{self.url_of(service, root)}/predict{query}"
        return httpx.post(url, json={"text": list(texts)}, timeout=_REQUEST_S)

    def health(self) -> Object:
        """GET `/health`."""
        found: Object = httpx.get(f"{self.url}/health", timeout=_REQUEST_S).raise_for_status().json()
        return found

    def model(self) -> Object:
        """GET `/model`."""
        found: Object = httpx.get(f"{self.url}/model", timeout=_REQUEST_S).raise_for_status().json()
        return found

    def pods(self, name: str = API) -> Sequence[Object]:
        """The pods of a Deployment that are not on their way out, oldest first."""
        staying = [pod for pod in self._all_pods(name) if "deletionTimestamp" not in pod["metadata"]]
        return sorted(staying, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def ready_pods(self, name: str = API) -> Sequence[Object]:
        """Those of them that are ready."""
        return [pod for pod in self.pods(name) if condition_time(pod, "Ready") is not None]

    def wait_for_rollout(self, name: str = API, timeout_s: float = ROLLOUT_S) -> None:
        """Wait until all pods of a Deployment are of its newest version, and ready.

        Raises:
            KubectlError: they are not in time.
        """
        arguments = ("rollout", "status", f"deployment/{name}", f"--timeout={timeout_s:.0f}s")
        try:
            self.kubectl.run(*arguments, timeout_s=timeout_s + 30)
        except KubectlError as error:
            msg = f"{error}\n{self.state()}"
            raise KubectlError(msg) from error

    def wait_until_none(self, name: str) -> None:
        """Wait until a Deployment that was scaled to zero has no pod any more."""
        until(lambda: not self._all_pods(name), f"no pod of {name}", _GONE_S)

    def wait_until_only_current_pods(self, name: str = API) -> None:
        """Wait until the pods on their way out have gone, too."""
        until(lambda: len(self._all_pods(name)) == len(self.pods(name)), "the old pods gone", _GONE_S)

    def state(self) -> str:
        """What a person would look at first."""
        parts = []
        for arguments in (("get", "pods", "--output", "wide"), ("get", "events", "--sort-by=.lastTimestamp")):
            try:
                parts.append(self.kubectl.run(*arguments))
            except KubectlError as error:
                parts.append(str(error))
        return "\n".join(parts)

    def _all_pods(self, name: str) -> Sequence[Object]:
        selector = self.kubectl.get("deployment", name)["spec"]["selector"]["matchLabels"]
        return self.kubectl.list("pods", ",".join(f"{label}={value}" for label, value in selector.items()))


def condition_time(pod: Object, kind: str) -> datetime | None:
    """When a condition of a pod became true, to the second; None when it is not."""
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == kind and condition["status"] == "True":
            return datetime.fromisoformat(condition["lastTransitionTime"])
    return None


def cache_status(response: httpx.Response) -> str:
    """The `Cache-Status` of a prediction, which must be one."""
    assert response.status_code == 200, response.text
    return response.headers["cache-status"]
