"""`mlapi bulk`: answers the texts of files, as many as they are, and continues where it was stopped."""

import signal
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from backports import zstd

from mlapi.cli.given_key import read_given_key
from mlapi.cli.number_range import NumberRange
from mlapi.cli.serve import EXIT_CONFIGURATION
from mlapi.errors import ConfigurationError
from mlapi.offline.answer_shape import AnswerShape
from mlapi.offline.base import Answerer, OfflineError, UsageError
from mlapi.offline.opening import FORMATS, Options, open_job, pairs
from mlapi.offline.shards import WHOLE, Part
from mlapi.settings import ModelSetting, Settings, read_settings

if TYPE_CHECKING:
    from types import FrameType

    from mlapi.offline.job import Job
    from mlapi.offline.reporting import Style

EXIT_FAULT: Final = 1
EXIT_REFUSED: Final = 3
_SIGNALLED: Final = 128

_FILE: Final = click.Path(allow_dash=True, path_type=Path)


class Stopped(BaseException):
    """A signal asked the run to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@click.command()
@click.argument("source", metavar="INPUT", type=_FILE)
@click.argument("target", metavar="OUTPUT", type=_FILE)
@click.option("--format", type=click.Choice(FORMATS), help="Of INPUT; default: as its name says.")
@click.option("--output-format", type=click.Choice(FORMATS), help="Of OUTPUT; default: as its name says.")
@click.option("--text-field", default="text", show_default=True, help="The column that holds the texts.")
@click.option("--id-field", default="", help="A column that names a row in the list of refused rows.")
@click.option("--keep", help="Columns of INPUT that are written, too, with commas between them; default: all.")
@click.option("--top", type=click.IntRange(1), help="The best K labels as a list; 1, the default, is a column.")
@click.option("--all-labels", is_flag=True, help="All labels as a list.")
@click.option("--threshold", type=NumberRange(0, 1), help="Labels with at least this score, as a list.")
@click.option("--prefix", default="", help="What the names of the answer's columns begin with.")
@click.option(
    "--on-error",
    type=click.Choice(["null", "skip", "fail"]),
    default="null",
    show_default=True,
    help="A row without a text, or one that cannot be read: write it without an answer, leave it out, or stop.",
)
@click.option(
    "--window", type=click.IntRange(1, 65_536), default=4096, show_default=True, help="Rows that are answered together."
)
@click.option("--resume/--restart", default=True, help="Continue an earlier run (default), or begin anew.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "json", "none"]),
    default="auto",
    show_default=True,
    help="A bar on a terminal, else lines; lines; JSON lines; nothing.",
)
@click.option("--model", help="Which of the models that the settings name; default: the first.")
@click.option("--server", metavar="URL", help="Ask the service at a URL like https://host/project instead of a model.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the API key to ask the service with.",
)
@click.option(
    "--patience",
    type=NumberRange(0),
    default=300.0,
    show_default=True,
    help="Seconds that a request to the service is tried again for.",
)
@click.option("--shard", default="", help="Answer one of n parts of INPUT: i/n, i from 0.")
@click.option("--ray", is_flag=True, help="Answer the parts of INPUT in actors of Ray, and join them.")
@click.option("--ray-actors", type=click.IntRange(2, 4096), help="How many; default: 2.")
@click.option("--ray-cpus", type=click.IntRange(1, 1024), help="Processors of each; default: 1.")
def bulk(source: Path, target: Path, **options: Any) -> None:  # noqa: ANN401  click's own values
    """Classify the texts of INPUT, and write them with their labels to OUTPUT, in the same order.

    Both are files, or folders of files: JSON Lines, CSV, TSV, plain text with a text a line, each also .gz and .zst, or
    Parquet (with the extra `bulk`); - is standard input or output. Equal texts are computed once, and caches are used
    as the service uses them: one in the process, and Redis if MLAPI_REDIS_URL is set.

    OUTPUT.progress says how far it is. After a crash or a kill, the same command continues there, and the output
    becomes what it would have been, to the byte. Refused rows are listed in OUTPUT.errors.jsonl.

    \b
    With --shard 2/8, OUTPUT scores.csv becomes scores-00002-of-00008.csv; the parts in their order make the whole.
    Of a folder, each shard takes every n-th file.

    With --ray, each of several actors answers a part; they are on the cluster that RAY_ADDRESS names, or here. The
    parts stay beside OUTPUT, which becomes what one process would have written.

    \b
    Exit codes: 0 all is done, 1 a fault, 2 wrong usage or settings, 3 done, with refused rows; 130 and 143 stopped by
    SIGINT and SIGTERM: the same command continues.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    plan, restart, style = _options(options), not options["resume"], options["progress"]
    with explained():
        settings = read_settings()
        if _wants_ray(options):
            sys.exit(EXIT_REFUSED if _run_on_ray(source, target, plan, settings, options) else 0)
        part = Part.parse(options["shard"]) if options["shard"] else WHOLE
        files = pairs(source, target, part, plan, _say)
        answerer = _answerer(settings, options)
        try:
            refused = 0
            for pair in files:
                job = open_job(pair, plan, answerer.digest, _say)
                try:
                    refused += _run(job, answerer, style, restart=restart)
                finally:
                    job.source.close()
        finally:
            answerer.close()
    sys.exit(EXIT_REFUSED if refused else 0)


def _run(job: "Job", answerer: Answerer, style: "Style", *, restart: bool) -> int:
    from mlapi.offline.reporting import Reporter  # noqa: PLC0415  the help does not need it

    reporter = Reporter(style, answerer, stream=sys.stderr, clock=time.monotonic)
    count = job.run(answerer, reporter, restart=restart)
    reporter.end(count)
    return count.refused


def _wants_ray(given: Mapping[str, Any]) -> bool:
    if not given["ray"]:
        for name in ("ray_actors", "ray_cpus"):
            if given[name] is not None:
                msg = f"--{name.replace('_', '-')} is of use with --ray only"
                raise UsageError(msg)
    for name in ("server", "key_file", "shard"):
        if given["ray"] and given[name]:
            msg = f"--ray and --{name.replace('_', '-')} cannot be given together"
            raise UsageError(msg)
    return bool(given["ray"])


def _run_on_ray(source: Path, target: Path, plan: Options, settings: Settings, given: Mapping[str, Any]) -> int:
    """Return how many rows were refused."""
    from mlapi.offline.on_ray import Actors, AskedByAll, run_on_ray  # noqa: PLC0415  few need it
    from mlapi.offline.reporting import Reporter  # noqa: PLC0415  the help does not need it

    cpus = given["ray_cpus"] or 1
    served = _chosen(settings, given["model"])
    # Actors work in other folders.
    there = {"models": (served._replace(bundle=served.bundle.absolute()),), "threads": settings.threads or cpus}
    asked = AskedByAll()
    reporter = Reporter(given["progress"], asked, stream=sys.stderr, clock=time.monotonic)
    count = run_on_ray(
        source,
        target,
        plan,
        partial(open_model, settings.model_copy(update=there), None),
        Actors(given["ray_actors"] or 2, cpus),
        report=reporter,
        asked=asked,
        restart=not given["resume"],
    )
    reporter.end(count)
    return count.refused


def read_shape(given: Mapping[str, Any]) -> AnswerShape:
    """Return which columns an answer has, of the options --top, --all-labels, --threshold and --prefix."""
    top = given["top"]
    if given["all_labels"]:
        if top is not None:
            msg = "--top and --all-labels cannot be given together"
            raise click.UsageError(msg)
    elif top is None:
        top = 1 if given["threshold"] is None else None
    return AnswerShape(top, given["threshold"], given["prefix"])


def split_names(names: str | None) -> tuple[str, ...] | None:
    """Return the names of --keep; None: all."""
    return None if names is None else tuple(dict.fromkeys(filter(None, map(str.strip, names.split(",")))))


def _options(given: Mapping[str, Any]) -> Options:
    return Options(
        format=given["format"],
        output_format=given["output_format"],
        text_field=given["text_field"],
        id_field=given["id_field"],
        keep=split_names(given["keep"]),
        shape=read_shape(given),
        on_error=given["on_error"],
        window=given["window"],
    )


def _answerer(settings: Settings, options: Mapping[str, Any]) -> Answerer:
    check_whom_to_ask(options)
    if options["server"]:
        return ask_service(options["server"], options["key_file"], options["patience"])
    return open_model(settings, options["model"])


def check_whom_to_ask(options: Mapping[str, Any]) -> None:
    """Refuse options about a service where a model is asked, and about models where a service is.

    Raises:
        UsageError: there are some.
    """
    if options["server"] and options["model"] is not None:
        msg = "--server and --model cannot be given together: the URL says which model it is"
        raise UsageError(msg)
    if options["key_file"] and not options["server"]:
        msg = "--key-file is of use with --server only"
        raise UsageError(msg)


def ask_service(url: str, key_file: Path | None, patience_s: float) -> Answerer:
    """Return what asks a service.

    Raises:
        click.UsageError: the file holds no key.
        OfflineError: it does not answer.
    """
    from mlapi.offline.service import ServiceAnswerer  # noqa: PLC0415  httpx2 is an extra

    key = read_given_key(key_file) if key_file else None
    return ServiceAnswerer(url, key=key, patience_s=patience_s, say=_say)


def open_model(settings: Settings, name: str | None) -> Answerer:
    """Load one of the models that the settings name, and the caches that it asks for.

    Raises:
        UsageError: they name no such model.
        ConfigurationError: it cannot be loaded.
    """
    from mlapi.classifier import Classifier  # noqa: PLC0415  a second of imports, which wrong usage does not need
    from mlapi.offline.local import LocalAnswerer, SharedTier, memory_tier  # noqa: PLC0415  likewise

    served = _chosen(settings, name)
    classifier = Classifier.open(served.bundle, engine=settings.engine, threads=settings.threads)
    tiers = settings.cache or classifier.cache
    memory = memory_tier(0 if tiers == "none" else settings.l1_bytes, settings.cache_ttl_s)
    shared = None
    if tiers == "both" and settings.redis_target:
        shared = SharedTier(settings.redis_target, classifier, ttl_s=settings.cache_ttl_s)
    return LocalAnswerer(classifier, memory, shared)


def _chosen(settings: Settings, name: str | None) -> ModelSetting:
    for served in settings.served:
        if name in {None, served.name}:
            return served
    msg = f"there is no model {name}; there are: {', '.join(served.name for served in settings.served)}"
    raise UsageError(msg)


@contextmanager
def explained(*, signals: bool = True) -> Iterator[None]:
    """Turn what went wrong into words and an exit code, and, where `signals` says so, signals into an end."""

    def stop(number: int, _: "FrameType | None") -> None:
        raise Stopped(number)

    wanted = (signal.SIGINT, signal.SIGTERM) if signals else ()
    before = {number: signal.signal(number, stop) for number in wanted}
    try:
        yield
    except (UsageError, ConfigurationError) as error:
        _end(error.detail if isinstance(error, ConfigurationError) else str(error), EXIT_CONFIGURATION)
    except OfflineError as error:
        _end(str(error), EXIT_FAULT)
    except (EOFError, zlib.error, zstd.ZstdError) as error:
        _end(f"the input is damaged: {error}", EXIT_FAULT)
    except OSError as error:
        _end(f"{error.filename or 'a file'}: {error.strerror or error}", EXIT_FAULT)
    except Stopped as stopped:
        _end("stopped; the same command continues", _SIGNALLED + stopped.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(message: str, code: int) -> None:
    _say(message)
    sys.exit(code)


def _say(line: str) -> None:
    click.echo(f"mlapi: {line}", err=True)
