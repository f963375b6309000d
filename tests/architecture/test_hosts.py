"""Nothing that is committed names a host that is neither the user's own, nor reserved for examples, nor listed here."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from tests.architecture.test_committed_text import texts

URL: Final = re.compile(r"\b[a-z][a-z0-9+]*://(?:[^\s/@'\"`]+@)?(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)")
BARE: Final = re.compile(
    r"(?<![\w.@/$%-])((?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|ai|edu|gov|co|cloud|eu|de|uk|us|ch|at|fr))(?![\w(-]|\.\w)"
)
RESERVED: Final = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)$")
"""RFC 2606 and RFC 6761: nobody can own these."""

OWN: Final = re.compile(
    r"^(?:0\.0\.0\.0|(?:127|10)(?:\.\d+){3}|\[(?:::1?|f[cd][0-9a-f]{2}:[0-9a-f:]*)\]|"
    r"[A-Za-z0-9-]+|.+\.svc(?:\.cluster\.local)?|NAMESPACE\.DOMAIN)$"
)
"""This machine, private addresses (RFC 1918, RFC 4193), names without a dot, which a cluster or Compose resolves to the
user's own services, and names that are to be filled in."""

LISTED: Final[Mapping[str, frozenset[str]]] = {
    "groups of Kubernetes API objects and labels, which only look like hosts": frozenset(
        {
            "batch.kubernetes.io",
            *("k8s.io", "apiregistration.k8s.io", "discovery.k8s.io", "external.metrics.k8s.io", "networking.k8s.io"),
            *("networkpolicy.networking.k8s.io", "kustomize.config.k8s.io", "kubernetes.io", "app.kubernetes.io"),
            *("kubectl.kubernetes.io", "node.kubernetes.io", "pod-security.kubernetes.io", "topology.kubernetes.io"),
            *("istio.io", "networking.istio.io", "destinationrule.networking.istio.io", "monitoring.coreos.com"),
            *("virtualservice.networking.istio.io", "virtualservices.networking.istio.io"),
            *("argoproj.io", "coordination.k8s.io", "projectcontour.io", "rbac.authorization.k8s.io"),
            *("kustomize.toolkit.fluxcd.io", "ray.io", "source.toolkit.fluxcd.io"),
        }
    ),
    "Go modules, resolved by Go's own proxy": frozenset({"go.k6.io", "golang.org", "sigs.k8s.io"}),
    "where official base images come from": frozenset({"docker.io"}),
    "where Contour and Flagger come from, for who deploys them": frozenset({"ghcr.io"}),
    "the address of the hub that `mlapi bundle build` asks, if told to, in links that tests have to replace": frozenset(
        {"huggingface.co"}
    ),
    "the name by which a pointer file of Git LFS is known, which nobody asks": frozenset({"git-lfs.github.com"}),
    "XML name spaces, YAML tags and types of problems, which nobody fetches": frozenset(
        {"iana.org", "maven.apache.org", "www.w3.org", "yaml.org"}
    ),
    "accounts of AWS's own documentation, and none: deploy.sh refuses the latter": frozenset(
        {
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
            "000000000000.dkr.ecr.us-east-1.amazonaws.com",
        }
    ),
    "pages for people to read, in comments and messages": frozenset(
        {
            *(
                "cyclonedx.org",
                "datatracker.ietf.org",
                "docs.flagger.app",
                "docs.aws.amazon.com",
                "docs.docker.com",
                "docs.openvino.ai",
                "docs.python.org",
            ),
            *("git-scm.com", "github.com", "k3d.io", "keda.sh", "keepachangelog.com", "kind.sigs.k8s.io"),
            *(
                "minikube.sigs.k8s.io",
                "pytorch.org",
                "redis.io",
                "semver.org",
                "www.apache.org",
                "www.envoyproxy.io",
                "www.infoq.com",
            ),
            *("www.rfc-editor.org", "scikit-learn.org", "arxiv.org", "uxlfoundation.github.io", "opentelemetry.io"),
            "google.github.io",
        }
    ),
    "homes of what Swagger UI holds, in its list of licences": frozenset({"feross.org", "jedwatson.github.io"}),
    "a service of the Prometheus operator, in its name space": frozenset({"prometheus-operated.monitoring"}),
    "the gate of a rollout, in the namespaces of its environments": frozenset(
        {"mlapi-rollout-gate.mlapi", "mlapi-rollout-gate.mlapi-staging"}
    ),
    "services of AWS and GitHub as policies name them, and APIs of External Secrets": frozenset(
        {
            *("cloudwatch.amazonaws.com", "ec2.amazonaws.com", "eks.amazonaws.com", "pods.eks.amazonaws.com"),
            *(
                "sts.amazonaws.com",
                "token.actions.githubusercontent.com",
                "external-secrets.io",
                "registry.terraform.io",
            ),
        }
    ),
    "code that looks like a host": frozenset({"answer.at"}),
}

RESOLVED: Final = (
    *("requirements", "poetry.lock", "tools/go.mod", "tools/go.sum"),
    *(
        f"tools/{name}"
        for name in (
            "actionlint",
            "contour",
            "flagger",
            "flux-kustomize-controller",
            "flux-source-controller",
            "helm",
            "keda",
        )
    ),
)
"""What package managers write; their sources are checked elsewhere."""


def hosts(text: str) -> Iterator[str]:
    yield from (host.rstrip(".") for pattern in (URL, BARE) for host in pattern.findall(text))


def strangers(text: str) -> set[str]:
    return {host for host in hosts(text) if not RESERVED.search(host) and not OWN.match(host)}


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    """Each host that nobody here owns, and the files that name it."""
    named: dict[str, set[str]] = {}
    for path, text in texts():
        if path.is_relative_to("tests/architecture/test_hosts.py") or any(map(path.is_relative_to, RESOLVED)):
            continue
        for host in strangers(text):
            named.setdefault(host, set()).add(path.as_posix())
    return named


def test_no_host_is_somebody_elses_without_a_reason(found: dict[str, set[str]]) -> None:
    listed = frozenset[str]().union(*LISTED.values())
    assert {host: files for host, files in found.items() if host not in listed} == {}


def test_every_reason_is_still_needed(found: dict[str, set[str]]) -> None:
    assert {host for names in LISTED.values() for host in names} <= set(found)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("const DOMAIN = 'somebody.com';", "somebody.com"),
        ("url: https://team.somebody.dev:8443/project", "team.somebody.dev"),
        ("hosts:\n  - api.somebody.io\n", "api.somebody.io"),
        ("redis://:secret@cache.somebody.net:6379/0", "cache.somebody.net"),
        ("http://203.0.113.7/project", "203.0.113.7"),
    ],
)
def test_a_stranger_is_seen(text: str, host: str) -> None:
    assert strangers(text) == {host}


@pytest.mark.parametrize(
    "text",
    ["http://localhost:8000", "http://[::1]:8000", "https://mlapi.example.com/project", "http://prometheus:9090"],
)
def test_the_users_own_and_reserved_ones_are_not(text: str) -> None:
    assert strangers(text) == set()
