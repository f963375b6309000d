"""The learning loop in a cluster: one turn at a time, with a plan that can be read."""

from pathlib import Path

import pytest

from mlapi.loop.plan import read_plan
from tests.architecture.source_rules import ROOT
from tests.manifests.stacks import Stack

STACK = Stack("overlays/prod", ("learning", "learning-loop"))
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
        name: (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8") for name in ("quick", "serve", "learn")
    }
    assert "scikit-learn==" in content["quick"]
    for library in ("torch==", "nvidia-"):
        assert library not in content["quick"]
    for name in ("serve", "learn"):
        for library in ("torch==", "scikit-learn==", "optuna=="):
            assert library not in content[name], (name, library)
    assert "COPY requirements/quick.txt" in (ROOT / "training/Dockerfile").read_text(encoding="utf-8")
