"""`build-push.sh` against stand-ins for docker and AWS: what it pushes, and when it refuses to."""

import pytest

from tests.scripts.workshop import Workshop

pytestmark = pytest.mark.timeout(600)  # dozens of small processes, which a busy machine starts slowly

SCRIPT = "build-push.sh"
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
LOGIN = f"aws ecr get-login-password --region eu-central-1 | docker login --username AWS --password-stdin {REGISTRY}"
REGION = {"AWS_REGION": "eu-central-1"}


def test_help_names_every_option(workshop: Workshop) -> None:
    done = workshop.run(SCRIPT, "--help")
    assert done.returncode == 0
    for option in ("--flavour", "--bundle", "--create-repository", "--dry-run", "AWS_REGION"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faster"], "I do not know --faster"),
        (["--bundle"], "--bundle needs a value"),
        (["--bundle", "models/none"], "models/none is not a model bundle"),
        (["--flavour", "gpu"], "--flavour is serve or torch, not gpu"),
    ],
)
def test_wrong_usage(workshop: Workshop, arguments: list[str], said: str) -> None:
    done = workshop.run(SCRIPT, *arguments, **REGION)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_image_of_a_commit_is_built_examined_and_pushed_once(workshop: Workshop) -> None:
    image = f"{REGISTRY}/mlapi:{workshop.commit}"
    done = workshop.run(SCRIPT, **REGION)
    assert done.returncode == 0, done.stderr
    assert f"pushed {image}, sha256:0123" in done.stdout
    state = workshop.state
    assert state["built"] == {image: ["FLAVOUR=serve", f"REVISION={workshop.commit}"]}
    assert state["examined"] == [True]
    assert state["repositories"] == {"mlapi": {workshop.commit: "sha256:0123"}}

    workshop.change(built={})
    again = workshop.run(SCRIPT, **REGION)
    assert again.returncode == 0
    assert f"{image} is there already: sha256:0123" in again.stdout
    assert workshop.state["built"] == {}


def test_no_digest_is_no_image(workshop: Workshop) -> None:
    workshop.change(repositories={"mlapi": {workshop.commit: "None"}})
    done = workshop.run(SCRIPT, **REGION)
    assert done.returncode == 0, done.stderr
    assert "is there already" not in done.stdout
    assert workshop.state["repositories"] == {"mlapi": {workshop.commit: "sha256:0123"}}


def test_the_password_is_no_argument(workshop: Workshop) -> None:
    workshop.run(SCRIPT, **REGION)
    assert workshop.state["logins"] == [["--username", "AWS", "--password-stdin", REGISTRY, "a-password"]]


def test_a_tree_with_changes_is_refused(workshop: Workshop) -> None:
    (workshop.project / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    done = workshop.run(SCRIPT, **REGION)
    assert done.returncode == 2
    assert "the working tree has changes" in done.stderr
    assert "Dockerfile" in done.stderr
    assert workshop.state["built"] == {}


def test_an_image_that_is_not_as_it_should_be_is_not_pushed(workshop: Workshop) -> None:
    workshop.change(bad_image=True)
    done = workshop.run(SCRIPT, **REGION)
    assert done.returncode == 1
    assert workshop.state["repositories"] == {"mlapi": {}}
    assert workshop.state["logins"] == []


def test_another_model_and_flavour_are_named_in_the_tag(workshop: Workshop) -> None:
    bundle = workshop.project / "models" / "mine"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text("{}", encoding="utf-8")
    workshop.git("add", "--all")
    workshop.git("commit", "--quiet", "--message", "Mine")
    done = workshop.run(SCRIPT, "--bundle", "models/mine/", "--flavour", "torch", **REGION)
    assert done.returncode == 0, done.stderr
    assert workshop.state["built"] == {
        f"{REGISTRY}/mlapi:{workshop.commit}-mine-torch": [
            "BUNDLE=models/mine",
            "FLAVOUR=torch",
            f"REVISION={workshop.commit}",
        ]
    }


def test_a_repository_is_made_when_asked_for(workshop: Workshop) -> None:
    workshop.change(repositories={})
    refused = workshop.run(SCRIPT, **REGION)
    assert refused.returncode == 2
    assert "aws ecr create-repository --region eu-central-1 --repository-name mlapi" in refused.stderr
    assert workshop.state["repositories"] == {}

    done = workshop.run(SCRIPT, "--create-repository", **REGION)
    assert done.returncode == 0, done.stderr
    assert workshop.state["repositories"] == {"mlapi": {workshop.commit: "sha256:0123"}}


def test_a_dry_run_changes_nothing(workshop: Workshop) -> None:
    before = workshop.state
    done = workshop.run(SCRIPT, "--dry-run", **REGION)
    assert done.returncode == 0, done.stderr
    image = f"{REGISTRY}/mlapi:{workshop.commit}"
    assert [line for line in done.stdout.splitlines() if line.startswith("would run: ")] == [
        f"would run: tools/image.sh build {image} --build-arg FLAVOUR=serve ",
        f"would run: tools/image.sh check {image} serve ",
        f"would run: {LOGIN}",
        f"would run: docker push {image} ",
    ]
    assert workshop.state == before


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("aws", "aws is missing; install it: https://docs.aws.amazon.com/cli"),
        ("docker", "no container engine works here; install one: https://docs.docker.com/engine/install"),
        ("git", "git is missing; install it: https://git-scm.com/downloads"),
    ],
)
def test_a_program_that_is_missing(workshop: Workshop, program: str, said: str) -> None:
    workshop.remove_program(program)
    done = workshop.run(SCRIPT, **REGION)
    assert done.returncode == 2
    assert said in done.stderr


def test_nobody_is_logged_in(workshop: Workshop) -> None:
    workshop.change(logged_in=False)
    done = workshop.run(SCRIPT, **REGION)
    assert done.returncode == 2
    assert "AWS does not know you; log in: aws sso login, or aws configure" in done.stderr


def test_no_region_is_chosen(workshop: Workshop) -> None:
    done = workshop.run(SCRIPT)
    assert done.returncode == 2
    assert "no AWS region is chosen; set AWS_REGION, or run: aws configure" in done.stderr
