"""The learning loop on the cluster: volumes and Secrets, the repository that it proposes in, and people's opinions."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from mlapi.settings import LAB_BUNDLE
from tests.cluster import git_host
from tests.cluster.kubectl import Kubectl, Object
from tests.cluster.service import Service
from tests.learning import git
from tests.opinions import TEXTS

LAB: Final = "lab"
LAB_SERVICE: Final = "lab-service"
LEARN: Final = "learn"
LEARN_SERVICE: Final = "learn-service"
POSTGRES: Final = "postgres"
FILE: Final = "overlays/test/lab-model.json"
SUBJECTS: Final = 9
OPINIONS_A_TEXT: Final = 3

_USER: Final = "learn"
_HTTPS: Final = 443
_BRANCH: Final = "main"
_REPOSITORY: Final = "deployments.git"


@dataclass(frozen=True, slots=True)
class Site:
    """What lies on the node beside the cluster.

    Attributes:
        folder: of everything.
        kubectl: the namespace of the service.
        url: of the repository that the loop proposes in.
    """

    folder: Path
    kubectl: Kubectl
    url: str

    @property
    def data(self) -> Path:
        """The loop's volume."""
        return self.folder / "learn-data"

    @property
    def repository(self) -> Path:
        """The repository."""
        return self.folder / "repositories" / _REPOSITORY

    def deployed(self) -> Object:
        """Return what the repository says that is to run: a change of the Deployment `lab`."""
        found: Object = json.loads(git(self.repository, "show", f"{_BRANCH}:{FILE}"))
        return found

    def commits(self) -> Sequence[str]:
        """Return the subjects of the commits, the newest first."""
        return git(self.repository, "log", "--format=%s", _BRANCH).splitlines()

    def message(self) -> str:
        """Return the message of the newest commit."""
        return git(self.repository, "log", "--format=%B", "--max-count=1", _BRANCH)

    def volumes(self) -> Sequence[Object]:
        """Folders of the node for the claims, the loop's once more for those who serve its bundles."""
        return [
            volume(self.kubectl, "postgres-data", self.folder / "postgres-data"),
            volume(self.kubectl, "learn-data", self.data),
            volume(self.kubectl, "lab-models", self.data / "bundles"),
        ]


def volume(kubectl: Kubectl, claim: str, folder: Path) -> Object:
    """A folder of the node as the volume for one claim of this namespace."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{claim}-{kubectl.namespace}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce", "ReadOnlyMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "claimRef": {"namespace": kubectl.namespace, "name": claim},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


@contextmanager
def site(kubectl: Kubectl, folder: Path, first: str) -> Iterator[Site]:
    """Make the volumes, the Secrets and the repository, which names the first model; serve the repository."""
    (node,) = kubectl.list("nodes")
    (address,) = (found["address"] for found in node["status"]["addresses"] if found["type"] == "InternalIP")
    password = secrets.token_hex(16)
    with ExitStack() as stack:
        certificate = _certificate(folder, address)
        access = git_host.Access((address, _HTTPS), certificate, _USER, password)
        url = stack.enter_context(git_host.serving(folder / "repositories", access))
        made = Site(folder, kubectl, f"{url}/{_REPOSITORY}")
        for claimed in (folder / "postgres-data", made.data, made.data / "bundles"):
            claimed.mkdir()
            # Volumes of this kind get no group from the pod.
            claimed.chmod(0o777)
        shutil.copytree(LAB_BUNDLE, made.data / "bundles" / first)
        _repository(made, first)
        # Volumes belong to no namespace.
        names = [found["metadata"]["name"] for found in made.volumes()]
        stack.callback(kubectl.run, "delete", "persistentvolume", *names, "--ignore-not-found", "--wait=false")
        objects = [*made.volumes(), *_secrets(certificate, address, password)]
        kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        yield made


def _secrets(certificate: Path, address: str, password: str) -> Sequence[Object]:
    """The component's Secret as its README makes it, and what Git needs for a host of one's own."""
    database = secrets.token_hex(32)
    feedback = {
        "key": secrets.token_hex(32),
        "password": database,
        "url": f"postgresql://mlapi:{database}@postgres-service:5432/mlapi",
    }
    git_access = {
        ".netrc": f"machine {address} login {_USER} password {password}\n",
        "ca.pem": certificate.with_name("ca.pem").read_text(encoding="ascii"),
    }
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}
        for name, data in (("mlapi-feedback", feedback), ("git-access", git_access))
    ]


def _certificate(folder: Path, address: str) -> Path:
    """Write a certificate for an address, which is its own authority."""
    key, certificate = folder / "key.pem", folder / "ca.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", "1", "-subj", "/CN=git", "-addext", f"subjectAltName=IP:{address}"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    subprocess.run(command, capture_output=True, timeout=30, check=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def _repository(made: Site, first: str) -> None:
    made.repository.mkdir(parents=True)
    git(made.repository, "init", "--quiet", "--bare")
    git(made.repository, "config", "http.receivepack", "true")
    clone = made.folder / "clone"
    git(made.folder, "clone", "--quiet", str(made.repository), str(clone))
    file = clone / FILE
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(served(first), indent=2), encoding="utf-8")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "--message", "Deploy the first model")
    git(clone, "push", "--quiet", "origin", f"HEAD:{_BRANCH}")


def served(digest: str) -> Object:
    """A change: the bundle that `lab` serves, out of the volume."""
    env = [{"name": "MLAPI_BUNDLE", "value": f"/models/{digest}"}]
    return {"spec": {"template": {"spec": {"containers": [{"name": "mlapi", "env": env}]}}}}


def give_opinions(service: Service, texts: Sequence[str]) -> int:
    """Ask `lab` for texts, and have subjects tell what each is; return how many opinions the store took."""
    answers = service.predict(texts, query="?detail=true", service=LAB_SERVICE, root="/lab").json()["details"]
    of: dict[int, list[Mapping[str, Any]]] = {}
    for place, (text, answer) in enumerate(zip(texts, answers, strict=True)):
        for turn in range(OPINIONS_A_TEXT):
            vote = {"id": answer["id"], "label": TEXTS[text], "text": text, "consent": True}
            of.setdefault((place + turn) % SUBJECTS, []).append(vote)
    taken = 0
    url = f"{service.url_of(LEARN_SERVICE, '/lab')}/feedback"
    with httpx.Client(timeout=30) as client:
        for subject, votes in of.items():
            sent = client.post(url, json={"feedback": votes}, headers={"x-user": f"user-{subject}"})
            assert sent.status_code == 201, sent.text
            taken += sum(one["status"] == "created" for one in sent.json()["feedback"])
    return taken


def wrong(service: Service) -> int:
    """Return how many of the texts `lab` answers wrongly."""
    answers = service.predict(list(TEXTS), service=LAB_SERVICE, root="/lab").json()["predictions"]
    return sum(answer[0]["label"] != label for answer, label in zip(answers, TEXTS.values(), strict=True))
