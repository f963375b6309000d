"""`mlapi consume`: answers the texts of a Kafka topic, in another topic."""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from prometheus_client import start_http_server

from mlapi.cli.bulk import ask_service, check_whom_to_ask, explained, open_model, read_shape, split_names
from mlapi.cli.number_range import NumberRange
from mlapi.observability.logs import configure_logging
from mlapi.observability.metrics import ConsumerMetrics, Metrics
from mlapi.offline.base import Answerer, OfflineError, UsageError
from mlapi.offline.text_rows import json_reader, plain_reader
from mlapi.settings import read_settings

_SECURITY: Final = frozenset(
    {
        *("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"),
        *("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password"),
    }
)
_SSL: Final = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password")

_PATH: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--brokers", required=True, help="Where to ask for the cluster: host:port, with commas between several.")
@click.option("--in", "source", required=True, metavar="TOPIC", help="Where texts come from.")
@click.option("--out", "target", required=True, metavar="TOPIC", help="Where answers go.")
@click.option("--dead-letters", metavar="TOPIC", help="Where messages go that have no answer; default: IN.dlq.")
@click.option("--group", default="mlapi", show_default=True, help="The group whose members share the partitions.")
@click.option(
    "--value",
    type=click.Choice(["json", "text"]),
    default="json",
    show_default=True,
    help="What a value is: an object with the text in a field, or the text.",
)
@click.option("--text-field", default="text", show_default=True, help="The field that holds the text.")
@click.option("--keep", help="Fields that are written, too, with commas between them; default: all.")
@click.option("--top", type=click.IntRange(1), help="The best K labels as a list; 1, the default, is a field.")
@click.option("--all-labels", is_flag=True, help="All labels as a list.")
@click.option("--threshold", type=NumberRange(0, 1), help="Labels with at least this score, as a list.")
@click.option("--prefix", default="", help="What the names of the answer's fields begin with.")
@click.option(
    "--batch", type=click.IntRange(1, 65_536), default=500, show_default=True, help="Messages answered together."
)
@click.option(
    "--since",
    type=click.Choice(["earliest", "latest"]),
    default="earliest",
    show_default=True,
    help="Where a group begins that has committed nothing yet.",
)
@click.option("--idle-exit", type=NumberRange(0), help="Stop after this many seconds without a message.")
@click.option("--kafka-file", type=_PATH, help="JSON file with security_protocol, sasl_… and ssl_… for the brokers.")
@click.option("--metrics-port", type=click.IntRange(0, 65_535), default=0, help="Serve /metrics here; 0, default: no.")
@click.option("--model", help="Which of the models that the settings name; default: the first.")
@click.option("--server", metavar="URL", help="Ask the service at a URL like https://host/project instead of a model.")
@click.option("--key-file", type=_PATH, help="File with the API key to ask the service with.")
@click.option(
    "--patience",
    type=NumberRange(0),
    default=300.0,
    show_default=True,
    help="Seconds that brokers, or the service, may be away.",
)
def consume(**options: Any) -> None:  # noqa: ANN401  click's own values
    """Classify the texts of a Kafka topic, and produce them with their labels to another one.

    A batch is answered, produced, and committed when all replicas have it: after a crash, messages come again, and
    become the same bytes under the same key. Keys, timestamps and headers are kept; the headers mlapi-model and
    mlapi-source are added. A message without an answer goes to the dead letters, as it was, with the reason in the
    headers mlapi-error and mlapi-error-detail. One without a value is passed on.

    SIGTERM and SIGINT finish the batch in hand, and leave the group.

    \b
    Exit codes: 0 stopped as asked, 1 a fault, 2 wrong usage or settings.
    """  # noqa: D301  \b keeps click from refilling the paragraph
    with explained(signals=False):
        settings = read_settings()
        configure_logging(settings.log_level)
        # Wrong usage is told before a model is loaded.
        read_shape(options)
        check_whom_to_ask(options)
        _check_topics(options)
        security = _security(options["kafka_file"])
        with ThreadPoolExecutor(1, thread_name_prefix="answers") as thread:
            # What the model's caches hold belongs to the thread that opens them.
            if options["server"]:
                answerer = ask_service(options["server"], options["key_file"], options["patience"])
            else:
                answerer = thread.submit(open_model, settings, options["model"]).result()
            try:
                asyncio.run(_consume(options, answerer, thread, security))
            finally:
                thread.submit(answerer.close).result()
    sys.exit(0)


async def _consume(
    options: Mapping[str, Any], answerer: Answerer, thread: ThreadPoolExecutor, security: Mapping[str, Any]
) -> None:
    from mlapi.offline.consuming import Consumption, Topics, Writer, connected  # noqa: PLC0415  aiokafka is an extra

    read = json_reader(options["text_field"]) if options["value"] == "json" else plain_reader(options["text_field"])
    shape, keep = read_shape(options), split_names(options["keep"])

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    source = options["source"]
    topics = Topics(source, options["target"], _dead_letters(options))
    metrics = Metrics()
    counted = ConsumerMetrics(metrics.registry)
    if options["metrics_port"]:
        try:
            start_http_server(options["metrics_port"], registry=metrics.registry)
        except OSError as error:
            msg = f"--metrics-port {options['metrics_port']}: {error.strerror}"
            raise OfflineError(msg) from error
    async with connected(topics, options["brokers"], options["group"], options["since"], security) as (reader, writer):
        metrics.ready.set(1)
        click.echo(f"mlapi: consuming {source}", err=True)
        await Consumption(
            reader,
            writer,
            answerer,
            Writer(topics, read, shape, keep, answerer.digest),
            thread=thread,
            batch=options["batch"],
            patience_s=options["patience"],
            metrics=counted,
            clock=time.monotonic,
            sleep=asyncio.sleep,
        ).run(stop, options["idle_exit"])


def _dead_letters(options: Mapping[str, Any]) -> str:
    return str(options["dead_letters"] or f"{options['source']}.dlq")


def _check_topics(options: Mapping[str, Any]) -> None:
    """Refuse to write where is read: each message would make another one, without an end.

    Raises:
        UsageError: it was asked for.
    """
    source = options["source"]
    if source in {options["target"], _dead_letters(options)}:
        msg = f"{source} would be read and written: --out and --dead-letters name other topics than --in"
        raise UsageError(msg)


def _security(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        given = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    except msgspec.DecodeError as error:
        msg = f"{file}: {error}"
        raise UsageError(msg) from error
    if unknown := sorted(given.keys() - _SECURITY):
        msg = f"{file}: {', '.join(unknown)} is none of {', '.join(sorted(_SECURITY))}"
        raise UsageError(msg)
    if given.get("security_protocol", "PLAINTEXT") in {"SSL", "SASL_SSL"}:
        from aiokafka.helpers import create_ssl_context  # noqa: PLC0415  aiokafka is an extra

        files = {name.removeprefix("ssl_"): given.pop(name) for name in _SSL if name in given}
        try:
            return {**given, "ssl_context": create_ssl_context(**files)}
        except (OSError, ValueError) as error:
            msg = f"{file}: its files of TLS cannot be used: {error}"
            raise UsageError(msg) from error
    return given
