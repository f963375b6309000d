"""`mlapi learn`: takes opinions on answers, and tends the store of them."""

import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from mlapi.cli.serve import EXIT_CONFIGURATION, EXIT_START_FAILED, connection_limits, server_config
from mlapi.errors import ConfigurationError
from mlapi.observability.logs import configure_logging
from mlapi.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlapi.feedback.base import Store
    from mlapi.feedback.keys import FeedbackKeys

EXIT_FAULTS: Final = 1
EXIT_NO_STORE: Final = 4

_MS: Final = 1000


@click.group()
def learn() -> None:
    """Take opinions on answers, and tend the store of them, which MLAPI_FEEDBACK_URL names.

    \b
    Exit codes of all commands: 0 done, 2 a setting or an argument is wrong, 4 the store does not answer.
    """  # noqa: D301  \b keeps click from refilling the paragraph


@learn.command()
def serve() -> None:
    """Run a process that takes opinions, and makes no predictions.

    It serves POST /{model}/feedback for the models that MLAPI_MODELS or MLAPI_BUNDLE name, of which it reads labels and
    tokenizers alone, and /livez, /readyz, /startupz and /metrics. It is stopped like `mlapi serve`, and has its exit
    codes.
    """
    try:
        settings = read_settings()
        configure_logging(settings.log_level)
        # What follows imports the web framework, which no other command needs.
        from mlapi.feedback_app import create_feedback_app  # noqa: PLC0415
        from mlapi.server.draining import DrainingServer  # noqa: PLC0415
        from mlapi.server.protocol import HttpConnection  # noqa: PLC0415
        from mlapi.server.shared import Shared  # noqa: PLC0415

        app = create_feedback_app(settings)
    except ConfigurationError as error:
        click.echo(f"mlapi: {error.detail}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    connect = partial(HttpConnection, Shared({}, app.refusals, connection_limits(settings)))
    server = DrainingServer(server_config(app, connect, settings), app.drain, settings.drain_s)
    server.run()
    sys.exit(0 if server.started else EXIT_START_FAILED)


@learn.command()
@click.option("--id", "answer_id", help="Erase all that is known of the text of this answer.")
@click.option("--model", default="project", show_default=True, help="The model that gave it.")
@click.option("--subject", help="Erase all that is known of this subject: the value of its header, or its address.")
def purge(answer_id: str | None, model: str, subject: str | None) -> None:
    """Erase texts and comments whose time is over; or what is known of one text, or of one subject.

    What was erased is erased from the tables; PostgreSQL's own log, and copies that were made of the store, keep it for
    as long as they are kept. The events stay, and nothing leads from them to the text or the subject any more.
    """
    if answer_id is not None and subject is not None:
        msg = "--id and --subject cannot be given together"
        raise click.UsageError(msg)
    with _store() as (settings, keys, store):
        now = int(time.time() * _MS)
        if answer_id is not None:
            from mlapi.feedback_app import answer_ids  # noqa: PLC0415  as above

            answer = answer_ids(settings, keys, model).read(answer_id)
            if answer is None:
                msg = f"this is not the id of an answer of the model {model}"
                raise click.UsageError(msg)
            name = keys.pseudonym("answers", model.encode(), answer.address, answer.model_digest.encode())
            erased = store.erase_answer(name, now)
        elif subject is not None:
            from mlapi.api.feedback_route import TENANT  # noqa: PLC0415  as above

            erased = store.erase_subject(TENANT, keys.pseudonym("subjects", subject.encode()), now)
        else:
            click.echo(f"erased {store.purge(now)} texts and comments whose time was over")
            return
        click.echo(f"erased {erased.opinions} opinions and {erased.texts} texts")


@learn.command()
@click.option("--head", help="A head that was printed before: fail unless the events up to it are still these.")
def verify(head: str | None) -> None:
    """Compute the hashes of all events anew, and compare the opinions with what they lead to.

    Prints how many events there are, and the hash of the last, the head, which stands for all of them: whoever keeps it
    elsewhere can tell later that none of them was changed or removed.

    \b
    Exit codes: 0 all is well, 1 it is not, and what is wrong is printed; 2 and 4 as for all commands.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    with _store() as (_, _, store):
        verdict = store.verify()
        faults = list(verdict.faults)
        if head is not None and not store.has_event(head):
            faults.append(f"no event has the hash {head}")
    click.echo(f"events  {verdict.events}\nhead    {verdict.head or 'none'}")
    for fault in faults:
        click.echo(f"mlapi: {fault}", err=True)
    sys.exit(EXIT_FAULTS if faults else 0)


@contextmanager
def _store() -> "Iterator[tuple[Settings, FeedbackKeys, Store]]":
    """Open the store that the settings name; end the program where that, or what is done with it, fails."""
    from mlapi.feedback.base import StoreError  # noqa: PLC0415  the help needs none of it
    from mlapi.feedback_app import open_store, require_keys  # noqa: PLC0415

    try:
        settings = read_settings()
        keys = require_keys(settings)
        store = open_store(settings, keys)
    except ConfigurationError as error:
        click.echo(f"mlapi: {error.detail}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    try:
        yield settings, keys, store
    except StoreError as error:
        click.echo(f"mlapi: the store does not answer: {error}", err=True)
        sys.exit(EXIT_NO_STORE)
    finally:
        store.close()
