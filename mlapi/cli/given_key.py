"""Reads the API key that a command asks a service with: from a file, because all users of a machine see arguments."""

from pathlib import Path

import click


def read_given_key(file: Path) -> str:
    """Return the key on the first line of a file; of standard input for `-`.

    Raises:
        click.UsageError: the file cannot be read, or that line is none.
    """
    try:
        with click.open_file(str(file), encoding="ascii") as opened:
            key: str = opened.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "an API key has only characters of ASCII"
        msg = f"--key-file {file}: {reason}"
        raise click.UsageError(msg) from error
    if not key:
        msg = f"--key-file {file}: there is no API key on its first line"
        raise click.UsageError(msg)
    return key
