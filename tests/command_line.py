"""`mlapi` without a process of its own, for commands that only read and write; a process costs a second."""

import os
from collections.abc import Mapping

from click.testing import CliRunner

from mlapi.cli.group import main


def mlapi(settings: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command with these settings, named without their prefix; return its exit code and all that it said."""
    environment: dict[str, str | None] = {name: None for name in os.environ if name.startswith("MLAPI_")}
    environment |= {f"MLAPI_{name.upper()}": value for name, value in settings.items()}
    result = CliRunner().invoke(main, arguments, env=environment, prog_name="mlapi")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output
