"""`mlapi key`: makes API keys and checks the file of them."""

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from mlapi.access.key_text import ApiKey, make_key, read_key
from mlapi.access.keyring import Keyring
from mlapi.access.keys_file import ALL_MODELS, KeyRecord, read_keys, write_keys
from mlapi.cli.number_range import NumberRange
from mlapi.errors import ConfigurationError

_NEW_MODE: Final = 0o600

_SCOPES: Final = ("predict", "explain", "feedback", "admin")
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.group()
def key() -> None:
    """Make API keys, and check the file of them (MLAPI_KEYS_FILE)."""


@key.command()
@click.option("--name", help="Who gets the key, for people.")
@click.option("--model", "models", multiple=True, help="A model that it may ask, such as project; default: all.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), help="What it may do; default: predict.")
@click.option("--days", type=click.IntRange(1, 36_500), help="How long it is valid; default: without an end.")
@click.option("--texts-per-second", type=NumberRange(0, 1e9, min_open=True), help="Quota; default: none.")
@click.option("--burst", type=click.IntRange(1), help="How many texts may come together; default: what a second gives.")
@click.option("--texts-per-day", type=click.IntRange(1), help="Quota from midnight to midnight, UTC; default: none.")
@click.option("--cost-hit", type=NumberRange(0, 1), help="What a text that the cache knows costs; default: 1.")
@click.option("--file", type=_FILE, help="Put its record into this keys file, which is made if it is not there.")
@click.option("--rotate", metavar="ID", help="Give the key with this id in --file a second secret; its oldest goes.")
def new(name: str | None, file: Path | None, rotate: str | None, **options: Any) -> None:  # noqa: ANN401  click's own
    r"""Make a key, and write it to standard output: the only time that it is shown.

    Without --file, the record for the keys file follows on standard error. The file holds no secret, only its SHA-256.

    \b
    To rotate: give the key a second secret with --rotate, hand the new key out, and take the older hash away when
    nobody uses it any more, or let the next --rotate do that.
    Exit codes: 0 made, 1 the file cannot be used, 2 wrong usage.
    """
    if rotate:
        given = [value for value in options.values() if value not in {None, ()}]
        if file is None or name is not None or given:
            msg = "--rotate takes --file and nothing else: all but the secret stays as it is"
            raise click.UsageError(msg)
        keys = list(_read(file))
        made = _rotate(keys, rotate, file)
    else:
        if name is None:
            msg = "--name is missing: who gets the key?"
            raise click.UsageError(msg)
        keys = list(_read(file)) if file and file.exists() else []
        made = make_key()
        while any(record.id == made.id for record in keys):
            made = make_key()
        keys.append(_record(made, name, **options))
    if file is None:
        click.echo(write_keys(keys).decode(), err=True, nl=False)
    else:
        _replace(file, keys)
    click.echo(str(made))


@key.command()
@click.argument("file", type=_FILE, envvar="MLAPI_KEYS_FILE")
@click.option("--stdin", is_flag=True, help="Read a key from standard input, and say whether the file lets it in.")
def check(file: Path, *, stdin: bool) -> None:
    r"""Say what FILE (default: MLAPI_KEYS_FILE) holds, in the words that the service would refuse it with.

    \b
    Exit codes: 0 the service takes it, and the key if one was given; 1 not; 2 wrong usage.
    """
    keys = _read(file)
    if stdin:
        sys.exit(_check_one(keys, sys.stdin.readline().strip().encode()))
    for record in keys:
        ends = record.expires.isoformat() if record.expires else "no end"
        rotating = ", two secrets" if len(record.sha256) > 1 else ""
        state = "over" if _is_over(record) else "valid"
        click.echo(
            f"{record.id}  {state:<6}{record.name}: {', '.join(record.models)}; {', '.join(record.scopes)}; {ends}"
            + rotating
            + (f"; {record.quota.policies}" if record.quota else "")
        )
    if not keys:
        click.echo("mlapi: it holds no key: nobody would be let in", err=True)


def _check_one(keys: tuple[KeyRecord, ...], given: bytes) -> int:
    found = read_key(given)
    if found is None:
        click.echo("mlapi: this does not have the form of a key, mlapi_ID_SECRET", err=True)
        return 1
    grant = Keyring(keys).find(found)
    if grant is None:
        click.echo("mlapi: no key of the file has this id and secret", err=True)
        return 1
    if grant.until <= datetime.now(UTC).timestamp():
        click.echo(f"mlapi: key {grant.id} has expired", err=True)
        return 1
    click.echo(f"{grant.id}  valid")
    return 0


def _is_over(record: KeyRecord) -> bool:
    return record.expires is not None and record.expires <= datetime.now(UTC)


def _record(
    made: ApiKey,
    name: str,
    *,
    models: tuple[str, ...],
    scopes: tuple[str, ...],
    days: int | None,
    **quota: float | None,
) -> KeyRecord:
    expires = None if days is None else (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    fields = {
        "id": made.id,
        "sha256": [made.digest.hex()],
        "name": name,
        "models": models or (ALL_MODELS,),
        "scopes": scopes or ("predict",),
        "expires": expires,
        "quota": {name: value for name, value in quota.items() if value is not None} or None,
    }
    try:
        return msgspec.convert(fields, KeyRecord)
    except msgspec.ValidationError as error:
        raise click.UsageError(str(error)) from error


def _rotate(keys: list[KeyRecord], key_id: str, file: Path) -> ApiKey:
    """Give one of the keys a second secret."""
    for place, record in enumerate(keys):
        if record.id == key_id:
            made = make_key(key_id)
            keys[place] = msgspec.structs.replace(record, sha256=(record.sha256[-1], made.digest.hex()))
            return made
    msg = f"{file} has no key with the id {key_id}"
    raise click.ClickException(msg)


def _read(file: Path) -> tuple[KeyRecord, ...]:
    try:
        return read_keys(file.read_bytes())
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise click.ClickException(msg) from error
    except ConfigurationError as error:
        msg = f"{file}: {error.detail}"
        raise click.ClickException(msg) from error


def _replace(file: Path, keys: list[KeyRecord]) -> None:
    """Put a whole new file in the place of the old one: a service may read it at any moment."""
    try:
        mode = file.stat().st_mode & 0o777 if file.exists() else _NEW_MODE
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as made:
            made.write(write_keys(keys))
        Path(made.name).chmod(mode)
        Path(made.name).replace(file.resolve())
    except OSError as error:
        msg = f"{file}: {error.strerror}"
        raise click.ClickException(msg) from error
