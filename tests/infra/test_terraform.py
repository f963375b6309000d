"""The infrastructure: formatted, valid, tested with made-up answers, and applied to a stand-in of AWS."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.infra.terraform import FOLDER, copy, terraform
from tests.programs import find_delivery_tool, find_program
from tests.service_process import eventually

GAPS = {
    "module.rds.aws_db_instance.this": "moto forgets Performance Insights",
    "module.rds.aws_db_parameter_group.this": "moto forgets parameters",
    "module.rds.aws_vpc_security_group_ingress_rule.nodes": "moto forgets the description",
}
"""What differs after an apply because of the stand-in, and why."""


@pytest.mark.long
def test_it_is_formatted() -> None:
    done = subprocess.run(
        [
            find_program("terraform", "a package manager to install"),
            "fmt",
            "-check",
            "-recursive",
            "-diff",
            str(FOLDER),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_is_used_and_says_what_its_values_are() -> None:
    used = (FOLDER / "main.tf").read_text(encoding="utf-8")
    modules = [path for path in (FOLDER / "modules").iterdir() if path.is_dir()]
    assert len(modules) == 10
    for module in modules:
        assert f'"./modules/{module.name}"' in used
        for name in ("variables.tf", "outputs.tf"):
            text = (module / name).read_text(encoding="utf-8")
            blocks = re.findall(r'^(?:variable|output) "(\w+)" \{\n((?:  .*\n|\n)+)\}', text, re.MULTILINE)
            assert blocks
            assert [block for block, body in blocks if "description" not in body] == [], module.name


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_is_valid_and_its_own_tests_pass(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    for command in (("init", "-backend=false", "-input=false"), ("validate",), ("test", "-no-color")):
        done = terraform(folder, *command)
        assert done.returncode == 0, done.stdout + done.stderr
    runs = sum(path.read_text(encoding="utf-8").count('\nrun "') for path in (folder / "tests").glob("*.tftest.hcl"))
    assert f"Success! {runs} passed, 0 failed." in done.stdout
    assert runs > 10


@pytest.fixture
def stand_in() -> Iterator[str]:
    """A server that answers as AWS does, for the services that it has."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = find_delivery_tool("moto_server")
    with subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: _answers(url), "the stand-in answers", 60)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/moto-api/").is_success
    except httpx.TransportError:
        return False


LISTED = """
import json, sys, boto3
def client(name):
    return boto3.client(
        name, endpoint_url=sys.argv[1], region_name="eu-central-1",
        aws_access_key_id="made-up", aws_secret_access_key="made-up",
    )
ec2 = client("ec2")
print(json.dumps({
    "networks": len([item for item in ec2.describe_vpcs()["Vpcs"] if not item["IsDefault"]]),
    "buckets": len(client("s3").list_buckets()["Buckets"]),
    "repositories": len(client("ecr").describe_repositories()["repositories"]),
    "secrets": len(client("secretsmanager").list_secrets()["SecretList"]),
    "databases": len(client("rds").describe_db_instances()["DBInstances"]),
    "topics": len(client("sns").list_topics()["Topics"]),
    "roles": len(client("iam").list_roles()["Roles"]),
    "alarms": len(client("cloudwatch").describe_alarms()["MetricAlarms"]),
}))
"""


def _left(url: str) -> dict[str, int]:
    """What the stand-in has, as AWS's own client sees it."""
    python = find_delivery_tool("python")
    done = subprocess.run([python, "-c", LISTED, url], capture_output=True, text=True, check=True)
    counted: dict[str, int] = json.loads(done.stdout)
    return counted


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_it_is_applied_and_destroyed_again(stand_in: str, tmp_path: Path) -> None:
    folder = copy(tmp_path) / "tests" / "stand_in"
    endpoint = ("-input=false", "-no-color", "-var", f"endpoint={stand_in}")
    before = _left(stand_in)
    assert terraform(folder, "init", "-input=false").returncode == 0
    done = terraform(folder, "apply", "-auto-approve", *endpoint)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr
    made = int(re.findall(r"(\d+) added, 0 changed, 0 destroyed", done.stdout)[0])
    assert made > 40
    there = _left(stand_in)
    assert set(before.values()) == {0}
    assert all(there.values()), there

    done = terraform(folder, "plan", "-out=again", *endpoint)
    shown = json.loads(terraform(folder, "show", "-json", "again").stdout)
    changed = {item["address"] for item in shown["resource_changes"] if item["change"]["actions"] != ["no-op"]}
    assert changed <= set(GAPS), "a second apply would change nothing"

    done = terraform(folder, "destroy", "-auto-approve", *endpoint)
    assert f"{made} destroyed" in done.stdout, done.stdout[-3_000:] + done.stderr
    assert _left(stand_in) == before
