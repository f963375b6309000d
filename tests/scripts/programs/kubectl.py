"""Stands in for kubectl and a cluster behind it: objects in a JSON file, rollouts that fail for some images.

It takes the calls that `deploy.sh` and `tools/smoke_test.sh` make, and fails for any other.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

STATE: Final = Path(os.environ["FAKE_STATE"])
GROUPS: Final = {
    "Deployment": "deployment.apps",
    "DestinationRule": "destinationrule.networking.istio.io",
    "HorizontalPodAutoscaler": "horizontalpodautoscaler.autoscaling",
    "NetworkPolicy": "networkpolicy.networking.k8s.io",
    "PodDisruptionBudget": "poddisruptionbudget.policy",
    "VirtualService": "virtualservice.networking.istio.io",
}
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

Object = dict[str, Any]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for option in ("--context", "--namespace", "--filename", "--output", "--raw", "--dry-run", "--timeout"):
        parser.add_argument(option)
    for option in ("--field-selector", "--sort-by", "--selector", "--tail", "--container", "--wait"):
        parser.add_argument(option)
    for option in ("--ignore-not-found", "--all-containers", "--prefix", "--previous"):
        parser.add_argument(option, action="store_true")
    parser.add_argument("words", nargs="+")
    return parser.parse_intermixed_args()


def documents(name: str) -> list[Object]:
    import yaml  # noqa: PLC0415  most calls do without, and there are many

    text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def name_of(found: Object) -> str:
    kind = found["kind"]
    return f"{GROUPS.get(kind, kind.lower())}/{found['metadata']['name']}"


def images(found: Object) -> list[str]:
    pod = found["spec"].get("template", found)["spec"]
    return [container["image"] for container in pod["containers"]]


class Cluster:
    """What the state file says, and the answers to one call."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.state = json.loads(STATE.read_text(encoding="utf-8"))
        self.objects: dict[str, Object] = self.state["objects"]

    def answer(self) -> int:
        """Return the exit code."""
        verb, *words = self.given.words
        if verb == "kustomize":
            return subprocess.run([os.environ["FAKE_KUSTOMIZE"], "build", *words], check=False).returncode
        if verb == "config":
            return self.config(words)
        if self.given.context not in self.state["contexts"]:
            return complain("a call that names no context of the kubeconfig")
        self.state["reached"] = sorted({*self.state["reached"], self.given.context})
        code: int = getattr(self, verb)(words)
        STATE.write_text(json.dumps(self.state), encoding="utf-8")
        return code

    def config(self, words: list[str]) -> int:
        if words == ["current-context"]:
            say(self.state["current"])
            return int(not self.state["current"])
        return int(words[1] not in self.state["contexts"])

    def apply(self, _: list[str]) -> int:
        for document in documents(self.given.filename):
            if document["kind"] in self.state["unknown_kinds"]:
                return complain(f'no matches for kind "{document["kind"]}"')
            if self.given.dry_run:
                say(name_of(document))
            else:
                self.objects[name_of(document)] = document
        return 0

    def diff(self, _: list[str]) -> int:
        changed = [found for found in documents(self.given.filename) if self.objects.get(name_of(found)) != found]
        for found in changed:
            say(f"+ {name_of(found)}")
        return int(bool(changed))

    def get(self, words: list[str]) -> int:
        if self.given.raw:
            return int(not self.state["running"])
        if words and words[0] == "pod":
            silent = set(images(self.objects[f"pod/{words[1]}"])) & set(self.state["silent_images"])
            say("Failed" if silent else "Succeeded")
        elif words:
            say(f"the {words[0]}")
        else:
            names = [name_of(document) for document in documents(self.given.filename)]
            for name in filter(self.objects.__contains__, names):
                say(name if self.given.output == "name" else f"---\n{json.dumps(self.objects[name])}")
        return 0

    def rollout(self, words: list[str]) -> int:
        broken = set(images(self.objects[words[1]])) & set(self.state["broken_images"])
        return complain("exceeded its progress deadline") if broken else 0

    def logs(self, words: list[str]) -> int:
        say(f"the log of {words[0].rpartition('-')[0]}")
        for container in self.objects.get(f"pod/{words[0]}", {"spec": {"containers": []}})["spec"]["containers"]:
            say(f"it was told {' '.join(container['args'][1:])}")
        return 0

    def delete(self, words: list[str]) -> int:
        for name in words:
            kind, _, own = name.partition("/")
            for held in [
                held for held in self.objects if held.partition(".")[0].partition("/")[0] == kind.split(".")[0]
            ]:
                if held.endswith(f"/{own}"):
                    del self.objects[held]
        return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def complain(line: str) -> int:
    sys.stderr.write(f"error: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(Cluster(parse()).answer())
