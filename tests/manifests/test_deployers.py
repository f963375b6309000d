"""Whoever deploys may change all that production can consist of, and what `.k8s/deployers` grants is not more."""

from typing import Any, Final

import yaml

from tests.architecture.source_rules import ROOT
from tests.manifests.stacks import K8S, SCALED, STACKS, kustomize

KNOWN_TO_EKS: Final = {"", "apps", "autoscaling", "batch", "networking.k8s.io", "policy"}
"""The API groups of AmazonEKSEditPolicy that occur here (Amazon EKS user guide, "Access policy permissions")."""

VERBS: Final = ["get", "list", "watch", "create", "update", "patch", "delete"]


def granted() -> dict[str, Any]:
    done = kustomize(K8S / "deployers")
    assert done.returncode == 0, done.stderr
    return {found["kind"]: found for found in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader)}


def plural(kind: str) -> str:
    word = kind.lower()
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def test_it_grants_what_production_may_have_beyond_eks_policy_and_nothing_else() -> None:
    objects = [found for stack in STACKS if stack.overlay in SCALED for found in stack.objects]
    pairs = {(found["apiVersion"].rpartition("/")[0], found["kind"]) for found in objects}
    needed = {(group, plural(kind)) for group, kind in pairs if group not in KNOWN_TO_EKS}
    rules = granted()["Role"]["rules"]
    assert {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]} == needed
    assert all(rule["verbs"] == VERBS for rule in rules)


def test_the_group_is_the_one_that_terraform_gives_the_role() -> None:
    objects = granted()
    (subject,) = objects["RoleBinding"]["subjects"]
    assert objects["RoleBinding"]["roleRef"]["name"] == objects["Role"]["metadata"]["name"]
    terraform = (ROOT / "infra/terraform/modules/eks/main.tf").read_text(encoding="utf-8")
    assert (subject["kind"], f'["{subject["name"]}"]') == (
        "Group",
        terraform.split("kubernetes_groups = ")[1].split("\n")[0],
    )
