"""Opens what the settings name for a command, and ends the command where that, or what is done with it, fails."""

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from mlapi.cli.serve import EXIT_CONFIGURATION
from mlapi.errors import ConfigurationError
from mlapi.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlapi.feedback.base import Store
    from mlapi.feedback.keys import FeedbackKeys
    from mlapi.feedback.registry import Registry

EXIT_STALE: Final = 3
EXIT_NO_STORE: Final = 4


@contextmanager
def opened_store() -> "Iterator[tuple[Settings, FeedbackKeys, Store]]":
    """Open the store of opinions; one that is not there is not made, because a mistyped path would be an empty one."""
    from mlapi.feedback_app import open_store, require_store  # noqa: PLC0415  the help needs none of it

    with explained():
        settings = read_settings()
        if (file := settings.feedback_file) is not None and not file.exists():
            msg = f"there is no store of opinions at {file}, which MLAPI_FEEDBACK_URL names"
            raise ConfigurationError(msg)
        keys = require_store(settings)
        store = open_store(settings, keys)
        try:
            yield settings, keys, store
        finally:
            store.close()


@contextmanager
def opened_registry() -> "Iterator[Registry]":
    """Open the registry of models."""
    from mlapi.feedback_app import open_registry, require_store  # noqa: PLC0415  the help needs none of it

    with explained():
        settings = read_settings()
        registry, database = open_registry(settings, require_store(settings))
        try:
            yield registry
        finally:
            database.close()


@contextmanager
def explained() -> "Iterator[None]":
    """Turn what went wrong into words and an exit code."""
    from mlapi.feedback.base import StoreError  # noqa: PLC0415  the help needs none of it
    from mlapi.feedback.registry import RegistryError, StaleError  # noqa: PLC0415  likewise

    try:
        yield
    except ConfigurationError as error:
        click.echo(f"mlapi: {error.detail}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    except StaleError as error:
        click.echo(f"mlapi: {error}", err=True)
        sys.exit(EXIT_STALE)
    except RegistryError as error:
        click.echo(f"mlapi: {error}", err=True)
        sys.exit(1)
    except StoreError as error:
        click.echo(f"mlapi: the store does not answer: {error}", err=True)
        sys.exit(EXIT_NO_STORE)
