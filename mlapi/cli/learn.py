"""`mlapi learn`: takes opinions on answers, and tends the store of them."""

import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from mlapi.cli.loop import COMMANDS as LOOP
from mlapi.cli.number_range import NumberRange
from mlapi.cli.opened_store import opened_registry, opened_store
from mlapi.cli.registry import COMMANDS
from mlapi.cli.serve import EXIT_CONFIGURATION, EXIT_START_FAILED, connection_limits, server_config
from mlapi.errors import ConfigurationError
from mlapi.observability.logs import configure_logging
from mlapi.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlapi.feedback.votes import Served
    from mlapi.learn.evaluation import Subject as Judged

EXIT_FAULTS: Final = 1

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
    with opened_store() as (settings, keys, store):
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
    with opened_store() as (_, _, store):
        verdict = store.verify()
        faults = list(verdict.faults)
        if head is not None and not store.has_event(head):
            faults.append(f"no event has the hash {head}")
    click.echo(f"events  {verdict.events}\nhead    {verdict.head or 'none'}")
    for fault in faults:
        click.echo(f"mlapi: {fault}", err=True)
    sys.exit(EXIT_FAULTS if faults else 0)


_MODEL: Final = click.option(
    "--model", default="project", show_default=True, help="The name that the model is served under."
)


@learn.command()
@_MODEL
@click.option("--digest", default="", help="Which of the models behind the name: its digest, or the beginning of it.")
@click.option("--against", default="", help="Another one to compare it with, likewise.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Judge this bundle, on the texts that are kept.")
@click.option("--against-bundle", type=click.Path(path_type=Path), help="Compare with this bundle, likewise.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(
    model: str, digest: str, against: str, bundle: Path | None, against_bundle: Path | None, *, as_json: bool
) -> None:
    """Judge a model by the opinions on its answers; by default the model that the latest opinion is about.

    How often it is right is told by the opinions that were asked for at random. The agreement of all opinions is not
    that: people correct more than they confirm. It serves to compare labels, and models with each other.
    """
    from mlapi.learn.evaluation import evaluate as judge_by  # noqa: PLC0415  NumPy, which the help does not need
    from mlapi.learn.evaluation import latest_digest  # noqa: PLC0415

    if (bundle and digest) or (against_bundle and against):
        msg = "a model is named by a digest or by a bundle, not by both"
        raise click.UsageError(msg)
    with opened_store() as (settings, _, store):
        opinions = list(store.opinions(model))
        served = list(store.served(model))
        labels = _labels(settings, model)
    texts = {opinion.item: opinion.text for opinion in opinions if opinion.text is not None}
    if not opinions:
        click.echo(f"mlapi: there is no opinion on an answer of {model}", err=True)
        sys.exit(EXIT_FAULTS)
    judged = _of_bundle(bundle, texts) if bundle else _of_digest(served, digest or latest_digest(opinions) or "")
    champion = None
    if against or against_bundle:
        champion = _of_bundle(against_bundle, texts) if against_bundle else _of_digest(served, against)
    report = judge_by(opinions, judged, labels, champion)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        from mlapi.learn.report import in_words  # noqa: PLC0415  as above

        click.echo(in_words(report))


@learn.command()
@_MODEL
@click.option("--only-agreed", is_flag=True, help="Leave out texts that a single subject has an opinion on.")
@click.option(
    "--subject-share",
    type=NumberRange(0, 1),
    default=0.05,
    show_default=True,
    help="The most of the texts that may be there because of one subject alone.",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(model: str, file: Path, subject_share: float, *, only_agreed: bool) -> None:
    """Write the texts to learn from into FILE, as JSON Lines, whole or not at all.

    They are the texts that are kept with consent and whose label most of their subjects agree on. The digest that is
    printed is the SHA-256 of the file: the same opinions give the same file.
    """
    from mlapi.learn.training_set import choose  # noqa: PLC0415  the help does not need it

    with opened_store() as (_, _, store):
        chosen = choose(store.opinions(model), single=not only_agreed, subject_share=subject_share)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_bytes(chosen.lines)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        msg = f"{file}: {error.strerror}"
        raise click.UsageError(msg) from error
    with opened_registry() as registry:
        registry.note_dataset(chosen.digest, model, sum(chosen.labels.values()), int(time.time() * _MS))
    click.echo(f"sha256  {chosen.digest}")
    for label, count in chosen.labels.items():
        click.echo(f"label   {label}: {count}")
    for reason, count in chosen.left_out.items():
        click.echo(f"without {reason}: {count}")


def _labels(settings: Settings, model: str) -> "Sequence[str]":
    """Return the labels of a model that is served under a name; none where it is not, and the opinions tell."""
    from mlapi.bundles.store import read_manifest  # noqa: PLC0415  as above

    for served in settings.served:
        if served.name == model:
            try:
                return read_manifest(served.bundle).labels
            except ConfigurationError:
                return ()
    return ()


def _of_digest(served: "Sequence[Served]", beginning: str) -> "Judged":
    """Return what the one model whose digest begins so has said."""
    from mlapi.learn.evaluation import from_served  # noqa: PLC0415  as above

    found = sorted({row.model_digest for row in served if row.model_digest.startswith(beginning.lower())})
    if len(found) != 1:
        known = ", ".join(sorted({row.model_digest for row in served})) or "none"
        msg = f"{len(found)} models have a digest that begins with {beginning!r}; there are opinions on: {known}"
        raise click.UsageError(msg)
    return from_served(served, found[0])


def _of_bundle(bundle: Path, texts: "Mapping[str, str]") -> "Judged":
    """Return what a bundle says of texts."""
    from mlapi.classifier import Classifier  # noqa: PLC0415  as above
    from mlapi.learn.evaluation import Said, Subject  # noqa: PLC0415  as above

    try:
        with Classifier.open(bundle) as classifier:
            answers = classifier.predict(list(texts.values())) if texts else []
            said = {item: Said(answer.label, max(answer.scores)) for item, answer in zip(texts, answers, strict=True)}
            return Subject(classifier.digest, said)
    except ConfigurationError as error:
        click.echo(f"mlapi: {error.detail}", err=True)
        sys.exit(EXIT_CONFIGURATION)


for _command in (*COMMANDS, *LOOP):
    learn.add_command(_command)
