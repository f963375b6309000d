"""Terraform as the tests run it: with the provider of this machine's mirror, and without asking anybody."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from tests.architecture.source_rules import ROOT
from tests.programs import find_program

FOLDER: Final = ROOT / "infra" / "terraform"
_PROVIDER: Final = "registry.terraform.io/hashicorp/aws"


@cache
def _mirror() -> str:
    """A folder with the provider, as `terraform providers mirror` lays it out; empty: the registry is asked."""
    places = (os.environ.get("TF_PLUGIN_MIRROR", ""), "/opt/tf-plugins", "/usr/share/terraform/plugins")
    return next((place for place in places if place and (Path(place) / _PROVIDER).is_dir()), "")


def terraform(folder: Path, *arguments: str, timeout_s: float = 600.0) -> "subprocess.CompletedProcess[str]":
    """Run Terraform in a folder."""
    settings = folder / ".terraformrc"
    if _mirror():
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{_mirror()}"\n  }}\n}}\n')
    else:
        settings.write_text("")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_"))}
    return subprocess.run(
        [find_program("terraform", "a package manager to install"), *arguments],
        cwd=folder,
        env=environment | {"TF_CLI_CONFIG_FILE": str(settings), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def copy(folder: Path) -> Path:
    """Copy all of it, so that nothing is written into the repository."""
    return shutil.copytree(FOLDER, folder / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
