"""`deploy.sh` against a stand-in for the cluster: what it applies, and what is there after something went wrong."""

import re

import pytest

from tests.scripts.workshop import Workshop

pytestmark = pytest.mark.timeout(600)  # dozens of small processes, which a busy machine starts slowly

SCRIPT = "deploy.sh"
API = "deployment.apps/mlapi"


def image_of(workshop: Workshop) -> str:
    """The image of the API that the cluster holds."""
    (container,) = workshop.state["objects"][API]["spec"]["template"]["spec"]["containers"]
    image: str = container["image"]
    return image


def config_maps(workshop: Workshop) -> list[str]:
    return [name for name in workshop.state["objects"] if name.startswith("configmap/mlapi-config")]


def change_a_setting(workshop: Workshop) -> None:
    """Commit another value, and with it a ConfigMap of another name."""
    base = workshop.project / ".k8s" / "base" / "kustomization.yaml"
    text = base.read_text(encoding="utf-8")
    base.write_text(text.replace("MLAPI_DRAIN_S=5", "MLAPI_DRAIN_S=6"), encoding="utf-8")
    workshop.git("commit", "--quiet", "--all", "--message", "Drain longer")


@pytest.fixture
def local(workshop: Workshop) -> Workshop:
    """A workshop whose current context is a kind cluster on this machine."""
    workshop.add_program("kind")
    return workshop


def test_a_first_installation(local: Workshop) -> None:
    done = local.run(SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "a first installation" in done.stdout
    assert "the log of mlapi-smoke-test" in done.stdout
    assert "it was told http://mlapi-service:8000/project\n" in done.stdout
    assert "port-forward -n w255 service/mlapi-service 8000" in done.stdout
    image = f"mlapi:{local.commit}"
    assert image_of(local) == image
    assert local.state["objects"][API]["metadata"]["namespace"] == "w255"
    assert list(local.state["built"]) == [image]
    assert local.calls.read_text(encoding="utf-8") == f"kind load docker-image --name one {image}\n"


def test_it_leaves_nothing_behind(local: Workshop) -> None:
    local.run(SCRIPT)
    assert local.git("status", "--porcelain") == ""
    assert [name for name in local.state["objects"] if "smoke" in name] == []


def test_only_the_chosen_context_is_reached(local: Workshop) -> None:
    assert local.run(SCRIPT).returncode == 0
    assert local.state["reached"] == ["kind-one"]


def test_running_it_again_changes_nothing(local: Workshop) -> None:
    local.run(SCRIPT)
    before = local.state["objects"]
    done = local.run(SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "nothing changes" in done.stdout
    assert local.state["objects"] == before


def test_a_tree_with_changes_has_a_name_of_its_own(local: Workshop) -> None:
    (local.project / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    local.run(SCRIPT)
    first = image_of(local)
    (local.project / "Dockerfile").write_text("FROM scratch\n\n", encoding="utf-8")
    local.run(SCRIPT)
    assert re.fullmatch(r"mlapi:dirty-[0-9a-f]{12}", first)
    assert image_of(local) != first


def test_a_tree_that_git_cannot_take_down_is_not_named_after_the_last_commit(local: Workshop) -> None:
    (local.project / "notes").mkdir()
    local.git("init", "--quiet", "notes")
    (local.project / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    done = local.run(SCRIPT)
    assert (done.returncode, "git cannot take down" in done.stderr) == (2, True), done.stderr
    assert (local.state["built"], local.state["objects"]) == ({}, {})


@pytest.mark.parametrize("failure", ["broken_images", "silent_images"])
def test_an_upgrade_that_fails_is_taken_back(local: Workshop, failure: str) -> None:
    """The rollout gets stuck, or the pods are ready and do not answer."""
    local.run(SCRIPT)
    before = local.state["objects"]
    change_a_setting(local)
    local.change(**{failure: [f"mlapi:{local.commit}"]})
    done = local.run(SCRIPT)
    assert done.returncode == 1
    assert f"+ {API}" in done.stdout
    assert "what went wrong" in done.stderr
    assert "the events" in done.stderr
    assert "what was there before is there again" in done.stderr
    assert local.state["objects"] == before


def test_an_upgrade_that_works(local: Workshop) -> None:
    local.run(SCRIPT)
    change_a_setting(local)
    done = local.run(SCRIPT)
    assert done.returncode == 0, done.stderr
    assert f"+ {API}" in done.stdout
    assert image_of(local) == f"mlapi:{local.commit}"
    assert len(config_maps(local)) == 2


def test_a_first_installation_that_fails_is_left_to_be_looked_at(local: Workshop) -> None:
    local.change(broken_images=[f"mlapi:{local.commit}"])
    done = local.run(SCRIPT)
    assert done.returncode == 1
    assert "there is nothing to go back to" in done.stderr
    assert "kubectl --context kind-one delete -k .k8s/overlays/dev" in done.stderr
    assert API in local.state["objects"]


def test_a_dry_run_changes_nothing(local: Workshop) -> None:
    before = local.state
    done = local.run(SCRIPT, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert local.state | {"reached": []} == before
    assert not local.calls.exists()
    planned = [line.removeprefix("would run: ").split()[:2] for line in done.stdout.splitlines() if "would run" in line]
    assert planned == [
        ["tools/image.sh", "build"],
        ["kind", "load"],
        ["kube", "apply"],
        ["kube", "rollout"],
        ["kube", "rollout"],
        ["tools/smoke_test.sh", "kind-one"],
    ]


def test_minikube_builds_the_image_itself(workshop: Workshop) -> None:
    workshop.change(current="minikube")
    workshop.add_program("minikube")
    done = workshop.run(SCRIPT)
    assert done.returncode == 0, done.stderr
    assert f"minikube --profile minikube image build --tag mlapi:{workshop.commit}" in workshop.calls.read_text(
        encoding="utf-8"
    )
    assert workshop.state["built"] == {}
    assert "minikube service mlapi-service -n w255 --url" in done.stdout


def test_another_model(local: Workshop) -> None:
    bundle = local.project / "models" / "mine"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}", encoding="utf-8")
    local.git("add", "--all")
    local.git("commit", "--quiet", "--message", "Mine")
    done = local.run(SCRIPT, "--bundle", "models/mine/")
    assert done.returncode == 0, done.stderr
    assert image_of(local) == f"mlapi:{local.commit}-mine"
    assert "BUNDLE=models/mine" in " ".join(local.state["built"][image_of(local)])


def test_another_namespace(local: Workshop) -> None:
    assert local.run(SCRIPT, "--namespace", "trial").returncode == 0
    namespaces = {found["metadata"].get("namespace") for found in local.state["objects"].values()}
    assert namespaces == {"trial", None}
    assert "namespace/trial" in local.state["objects"]


def test_an_image_that_is_there_already(workshop: Workshop) -> None:
    image = "registry.example:5000/mlapi@sha256:" + "0" * 64
    done = workshop.run(SCRIPT, "--context", "production", "--image", image)
    assert done.returncode == 0, done.stderr
    assert image_of(workshop) == image
    assert workshop.state["built"] == {}
    assert workshop.state["reached"] == ["production"]


def test_a_command_brings_the_image_to_the_nodes(workshop: Workshop) -> None:
    workshop.add_program("bring")
    done = workshop.run(SCRIPT, LOAD_IMAGE="bring --fast", KUBE_CONTEXT="production")
    assert done.returncode == 0, done.stderr
    assert workshop.calls.read_text(encoding="utf-8") == f"bring --fast mlapi:{workshop.commit}\n"


def test_nobody_says_how_the_image_reaches_the_nodes(workshop: Workshop) -> None:
    done = workshop.run(SCRIPT, "--context", "production")
    assert done.returncode == 2
    assert "how does an image reach the nodes of production?" in done.stderr
    assert workshop.state["objects"] == {}


def test_production_takes_the_image_of_the_commit_from_ecr(workshop: Workshop) -> None:
    done = workshop.run(SCRIPT, "prod", "--context", "production", AWS_REGION="eu-central-1")
    assert done.returncode == 0, done.stderr
    assert image_of(workshop) == f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/mlapi:{workshop.commit}"
    assert workshop.state["built"] == {}
    # Both models are in that image, and both are asked.
    lab = workshop.state["objects"]["deployment.apps/lab"]["spec"]["template"]["spec"]["containers"][0]
    assert lab["image"] == image_of(workshop)
    assert "it was told http://mlapi-service:8000/project http://lab-service:8000/lab\n" in done.stdout


@pytest.mark.parametrize("host", ["mlapi.example.com", "example.org", "mlapi.example", "mlapi.invalid"])
def test_a_host_that_stands_for_ones_own_is_not_deployed(workshop: Workshop, host: str) -> None:
    workshop.name_host(host)
    workshop.git("commit", "--quiet", "--all", "--message", "Host")
    done = workshop.run(SCRIPT, "prod", "--context", "production", AWS_REGION="eu-central-1")
    assert done.returncode == 2
    assert f".k8s/overlays/prod still holds what stands for your own names: {host}; put yours there" in done.stderr
    assert workshop.state["objects"] == {}


def test_an_account_that_stands_for_ones_own_is_not_deployed(workshop: Workshop) -> None:
    overlay = workshop.project / ".k8s/overlays/prod/kustomization.yaml"
    overlay.write_text(overlay.read_text(encoding="utf-8").replace('"0000000"', '"1.0"'), encoding="utf-8")
    workshop.git("commit", "--quiet", "--all", "--message", "Tag")
    done = workshop.run(SCRIPT, "prod", "--context", "production", AWS_REGION="eu-central-1")
    assert done.returncode == 2
    assert "stands for your own names: 000000000000.dkr.ecr.us-east-1.amazonaws.com/mlapi;" in done.stderr


@pytest.mark.parametrize("host", ["mlapi.example.com.team.test", "example-mlapi.test", "counterexample.test"])
def test_a_host_that_only_looks_like_one_is(workshop: Workshop, host: str) -> None:
    workshop.name_host(host)
    workshop.git("commit", "--quiet", "--all", "--message", "Host")
    done = workshop.run(SCRIPT, "prod", "--context", "production", "--dry-run", AWS_REGION="eu-central-1")
    assert done.returncode == 0, done.stderr


def test_production_wants_a_commit(workshop: Workshop) -> None:
    (workshop.project / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    done = workshop.run(SCRIPT, "prod", "--context", "production", AWS_REGION="eu-central-1")
    assert done.returncode == 2
    assert "the working tree has changes that no image holds" in done.stderr


def test_production_without_istio(workshop: Workshop) -> None:
    workshop.change(unknown_kinds=["VirtualService"])
    done = workshop.run(SCRIPT, "prod", "--context", "production", AWS_REGION="eu-central-1")
    assert done.returncode == 2
    assert 'no matches for kind "VirtualService"' in done.stderr
    assert "is Istio installed?" in done.stderr
    assert workshop.state["objects"] == {}


@pytest.mark.parametrize(
    ("current", "said"),
    [
        ("", "your kubeconfig has no current context; start a cluster (minikube start)"),
        ("production", "production, is not a cluster on this machine; if you mean it, say so: --context production"),
    ],
)
def test_no_context_is_chosen_by_accident(workshop: Workshop, current: str, said: str) -> None:
    workshop.change(current=current)
    done = workshop.run(SCRIPT)
    assert done.returncode == 2
    assert said in done.stderr
    assert workshop.state["reached"] == []


def test_a_context_that_does_not_exist(workshop: Workshop) -> None:
    done = workshop.run(SCRIPT, "--context", "elsewhere")
    assert done.returncode == 2
    assert "has no context elsewhere" in done.stderr
    assert "aws eks update-kubeconfig" in done.stderr


def test_a_cluster_that_does_not_answer(workshop: Workshop) -> None:
    workshop.change(running=False)
    done = workshop.run(SCRIPT)
    assert done.returncode == 2
    assert "the cluster of context kind-one does not answer" in done.stderr


@pytest.mark.parametrize(
    ("program", "context", "said"),
    [
        ("kubectl", "kind-one", "kubectl is missing; install it: https://kubernetes.io/docs/tasks/tools/"),
        ("docker", "kind-one", "no container engine works here; install one:"),
        ("kind", "kind-one", "kind is missing; install it: https://kind.sigs.k8s.io"),
        ("minikube", "minikube", "minikube is missing; install it: https://minikube.sigs.k8s.io"),
        ("git", "kind-one", "git is missing; install it: https://git-scm.com/downloads"),
    ],
)
def test_a_program_that_is_missing(workshop: Workshop, program: str, context: str, said: str) -> None:
    for name in ("kind", "minikube"):
        workshop.add_program(name)
    workshop.remove_program(program)
    done = workshop.run(SCRIPT, "--context", context)
    assert done.returncode == 2
    assert said in done.stderr


def test_help_names_every_option(workshop: Workshop) -> None:
    done = workshop.run(SCRIPT, "--help")
    assert done.returncode == 0
    options = ("--context", "--namespace", "--overlay", "--bundle", "--flavour", "--image", "--timeout", "--dry-run")
    assert [option for option in (*options, "LOAD_IMAGE", "KUBE_CONTEXT") if option not in done.stdout] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["staging"], "I do not know staging"),
        (["dev", "prod"], "dev or prod, not both"),
        (["--context"], "--context needs a value"),
        (["--timeout", "soon"], "--timeout takes whole seconds, not soon"),
        (["--overlay", "elsewhere"], "elsewhere holds no kustomization.yaml"),
        (["--bundle", "models/none"], "models/none is not a model bundle"),
        (["--flavour", "gpu"], "--flavour is serve or torch, not gpu"),
        (["--image", "registry.example:5000/mlapi"], "--image needs a tag or a digest"),
        (["--image", "mlapi:1", "--flavour", "torch"], "leave --bundle and --flavour out"),
    ],
)
def test_wrong_usage(workshop: Workshop, arguments: list[str], said: str) -> None:
    done = workshop.run(SCRIPT, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
