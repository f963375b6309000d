"""The command `mlapi`: finds its subcommands and imports each only when it is used."""

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "bench": "mlapi.cli.bench:bench",
    "bulk": "mlapi.cli.bulk:bulk",
    "bundle": "mlapi.cli.bundle:bundle",
    "consume": "mlapi.cli.consume:consume",
    "key": "mlapi.cli.key:key",
    "learn": "mlapi.cli.learn:learn",
    "rollout": "mlapi.cli.rollout:rollout",
    "serve": "mlapi.cli.serve:serve",
    "wait": "mlapi.cli.wait:wait",
}


class _LazyGroup(click.Group):
    """A group whose commands cost nothing until they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mlapi")
def main() -> None:
    """Serve a text classifier behind a two-tier prediction cache."""
