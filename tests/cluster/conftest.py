"""Finds the cluster and the images under test, gives each module a namespace, and prints what was measured."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from tests.cluster import istio
from tests.cluster.figures import Figures
from tests.cluster.kubectl import Kubectl, KubectlError
from tests.cluster.namespaces import namespace

FOLDER: Final = Path(__file__).parent
FIGURES: Final = pytest.StashKey[Figures]()

LONGEST_S: Final = 900
"""For a test with its fixtures; each wait inside has a bound of its own."""

RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}


@dataclass(frozen=True, slots=True)
class Images:
    """NAME:TAG of the images under test, which the cluster's node has already.

    Attributes:
        service: the service.
        next: the same program with another model.
        corrupt: the same program with a damaged model.
    """

    service: str
    next: str
    corrupt: str


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cluster, so that nothing reaches for one unless it is asked to: `make test-cluster`."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker("cluster")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(LONGEST_S))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[FIGURES].lines
    if lines:
        terminalreporter.section("measured on the cluster")
        for line in lines:
            terminalreporter.write_line(line)


def missing(what: str) -> NoReturn:
    """Skip on a laptop; fail in CI, where a cluster is expected."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def cluster() -> str:
    """The context that is used, known to answer; only one that KUBECONFIG names: `~/.kube/config` is left alone."""
    if not os.environ.get("KUBECONFIG"):
        missing("KUBECONFIG names no cluster to test on")
    kubectl = Kubectl("default")
    try:
        kubectl.read("get", "--raw", "/readyz")
        return kubectl.read("config", "current-context").strip()
    except (KubectlError, OSError) as error:
        missing(f"the cluster does not answer: {error}")


@pytest.fixture(scope="session")
def images(cluster: str) -> Images:
    """The images that the environment names, see CONTRIBUTING.md."""
    del cluster
    names = {field: f"CLUSTER_IMAGE_{field.upper()}" for field in ("service", "next", "corrupt")}
    unset = [variable for variable in names.values() if not os.environ.get(variable)]
    if unset:
        missing(f"the images under test are not named: {', '.join(unset)}")
    return Images(**{field: os.environ[variable] for field, variable in names.items()})


@pytest.fixture(scope="session")
def istio_kinds(cluster: str) -> Iterator[None]:
    """Istio's kinds, known to the API server."""
    del cluster
    with istio.kinds():
        yield


@pytest.fixture(scope="module")
def kubectl(cluster: str, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """A namespace for the tests of one file."""
    del cluster
    name = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    with namespace(name, RESTRICTED) as own:
        yield own


class Report:
    """Prints a line, and keeps it for the summary."""

    def __init__(self, figures: Figures, test: str) -> None:
        """Report for one test."""
        self._figures = figures
        self._test = test

    def __call__(self, line: str) -> None:
        """Report one line."""
        self._figures.report(self._test, line)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Says what was measured: `report("…")`."""
    return Report(request.config.stash[FIGURES], request.node.nodeid.partition("tests/cluster/")[2])
