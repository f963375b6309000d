"""Builds the feedback out of its parts, for the service and for a process of its own."""

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from mlapi.access.gate import Gate
from mlapi.access.watched_file import follow
from mlapi.api.body import BodyReader
from mlapi.api.body_deadline import Expiry
from mlapi.api.doors import Doors
from mlapi.api.feedback_application import FeedbackApplication
from mlapi.api.feedback_route import FeedbackParts, FeedbackRoute, JudgedModel
from mlapi.api.lifecycle import Lifecycle, Phase
from mlapi.api.mounting import Page
from mlapi.api.votes_limit import VotesLimit
from mlapi.dialects.base import Identify, TextLimits
from mlapi.errors import ConfigurationError
from mlapi.feedback.answer_ids import AnswerIds
from mlapi.feedback.keys import FeedbackKeys, read_keys
from mlapi.feedback.votes import Sample
from mlapi.feedback.writer import FeedbackWriter
from mlapi.model import load_tokenizer
from mlapi.observability.metrics import FeedbackMetrics, Metrics
from mlapi.observability.tally import Count
from mlapi.postprocessing import Postprocessor
from mlapi.predictions import Prediction
from mlapi.settings import Settings
from mlapi.tokenizing.base import Tokenizer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from mlapi.feedback.base import Store
    from mlapi.feedback.database import Database
    from mlapi.feedback.registry import Registry
    from mlapi.feedback.runs import Runs, Trigger
    from mlapi.loop.plan import Plan
    from mlapi.loop.tick import Loop
    from mlapi.loop.watch import Watch

_HELD_BODIES: Final = 8
_TOKEN_BYTES: Final = 8
_FORM_BYTES: Final = 8_192
_SHOWN: Final = 50
"""Runs, and models of each name, on the page of the learning loop."""

_MS: Final = 1000
_NO_STORE: Final = "MLAPI_FEEDBACK_URL must say where opinions are kept"


def require_keys(settings: Settings) -> FeedbackKeys:
    """Return the keys of the feedback.

    Raises:
        ConfigurationError: the secret cannot be read, or nothing says where it is.
    """
    if settings.feedback_key_file:
        return read_keys(Path(settings.feedback_key_file), create=False)
    if (file := settings.feedback_file) is not None:
        return read_keys(file.with_name(f"{file.name}.key"), create=True)
    if settings.feedback_url:
        msg = "with a server in MLAPI_FEEDBACK_URL, MLAPI_FEEDBACK_KEY_FILE must name the secret of all its processes"
        raise ConfigurationError(msg)
    raise ConfigurationError(_NO_STORE)


def require_store(settings: Settings) -> FeedbackKeys:
    """Return the keys of the feedback, for a process that is of no use without a store.

    Raises:
        ConfigurationError: the secret cannot be read, or nothing says where opinions are kept.
    """
    if not settings.feedback_url:
        raise ConfigurationError(_NO_STORE)
    return require_keys(settings)


def open_store(settings: Settings, keys: FeedbackKeys) -> "Store":
    """Return the store that the settings name; it is opened when it is first used.

    Raises:
        ConfigurationError: its library is not installed, or its URL is not usable.
    """
    from mlapi.feedback.sql_store import SqlStore  # noqa: PLC0415  of no use where there is no feedback

    return SqlStore(
        _database(settings, keys.fingerprint),
        text_days=settings.feedback_text_days,
        token=lambda: token_hex(_TOKEN_BYTES),
    )


def open_registry(settings: Settings, keys: FeedbackKeys) -> "tuple[Registry, Database]":
    """Return the registry of models in the store that the settings name, and the database that is to be closed.

    Raises:
        ConfigurationError: its library is not installed, or its URL is not usable.
    """
    from mlapi.feedback.registry import Registry  # noqa: PLC0415  likewise

    database = _database(settings, keys.fingerprint)
    return Registry(database), database


def open_runs(settings: Settings, keys: FeedbackKeys, plan: "Plan") -> "tuple[Runs, Database]":
    """Return the runs of the learning loop in the store that the settings name, and the database to be closed.

    Raises:
        ConfigurationError: its library is not installed, or its URL is not usable.
    """
    from mlapi.feedback.runs import Runs  # noqa: PLC0415  likewise

    database = _database(settings, keys.fingerprint)
    return Runs(database, notify=[(one.name, frozenset(one.states)) for one in plan.notify]), database


@contextmanager
def open_loop(settings: Settings, keys: FeedbackKeys, plan: "Plan") -> "Iterator[Loop]":
    """Open the learning loop, and close what it has opened.

    Raises:
        ConfigurationError: its library is not installed, or its URL is not usable.
    """
    from mlapi.loop.notices import Notices  # noqa: PLC0415  the training's libraries are far from the service
    from mlapi.loop.steps import Steps  # noqa: PLC0415  likewise
    from mlapi.loop.tick import Loop  # noqa: PLC0415  likewise
    from mlapi.loop.workshop import Workshop  # noqa: PLC0415  likewise

    def now() -> int:
        return time.time_ns() // 1_000_000

    runs, database = open_runs(settings, keys, plan)
    with ExitStack() as stack:
        stack.callback(database.close)
        store = open_store(settings, keys)
        stack.callback(store.close)
        steps = Steps(plan, database, store, runs, Workshop(Path(plan.folder)), now, time.monotonic)
        yield Loop(steps, Notices(plan, database, runs, now))


def _database(settings: Settings, fingerprint: str) -> "Database":
    if (file := settings.feedback_file) is not None:
        from mlapi.feedback.sqlite import SqliteDatabase  # noqa: PLC0415  likewise

        return SqliteDatabase(file, fingerprint)
    try:
        from mlapi.feedback.postgres import PostgresDatabase  # noqa: PLC0415  its library is an extra
    except ImportError as error:
        msg = "a feedback store in PostgreSQL needs the package psycopg: pip install 'mlapi[learn]'"
        raise ConfigurationError(msg) from error
    return PostgresDatabase(settings.feedback_url, fingerprint)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What takes opinions in a process, once for all of its models."""

    settings: Settings
    keys: FeedbackKeys
    writer: FeedbackWriter
    metrics: FeedbackMetrics
    votes_limit: VotesLimit
    gate: Gate | None

    def route(self, name: str, model: Callable[[], JudgedModel], reader: BodyReader) -> FeedbackRoute:
        """Return the route of one model; `name` is what it is served under."""
        return FeedbackRoute(
            FeedbackParts(
                name=name,
                model=model,
                ids=answer_ids(self.settings, self.keys, name),
                keys=self.keys,
                writer=self.writer,
                votes_limit=self.votes_limit,
                reader=reader,
                limits=TextLimits(self.settings.max_texts, self.settings.max_text_chars),
                client_header=self.settings.client_header.lower().encode(),
                metrics=self.metrics,
                wall_clock=time.time,
                gate=self.gate,
            )
        )


def open_feedback(settings: Settings, keys: FeedbackKeys, registry: CollectorRegistry, gate: Gate | None) -> Feedback:
    """Build what takes opinions, of those whom `gate` lets in if there is one; its writer is still to be started.

    Raises:
        ConfigurationError: there is no usable store.
    """
    metrics = FeedbackMetrics(registry)
    writer = FeedbackWriter(open_store(settings, keys), metrics)
    votes_limit = VotesLimit(settings.feedback_votes_per_minute, time.monotonic)
    return Feedback(settings, keys, writer, metrics, votes_limit, gate)


def answer_ids(settings: Settings, keys: FeedbackKeys, name: str) -> AnswerIds:
    """Return what writes and reads the ids of one model's answers."""
    return AnswerIds(keys, name, share=settings.feedback_ask_share, draw=random.random)


def identify(
    ids: AnswerIds, model_digest: str, postprocessor: Postprocessor, asked: Callable[[str], Count]
) -> Identify:
    """Return what gives the answers of a model, by its digest, their signed ids.

    Args:
        ids: signs them.
        model_digest: the model digest.
        postprocessor: knows the labels and their scores.
        asked: returns what counts the answers that ask for an opinion, by sample.
    """
    place = {label: index for index, label in enumerate(postprocessor.labels)}

    def of_answer(digest: bytes, prediction: Prediction) -> tuple[str, bool]:
        label = place[prediction.label]
        score = postprocessor.scores(prediction.logits)[label]
        answer_id, sample = ids.write(digest, model_digest, label, score)
        for drawn in sample:
            asked(str(drawn.name).lower()).inc()
        return answer_id, sample is not Sample.NONE

    return of_answer


def create_feedback_app(settings: Settings) -> FeedbackApplication:
    """Build the application that takes opinions and makes no predictions.

    Raises:
        ConfigurationError: a model's bundle cannot be read, or there is no usable store.
    """
    keys = require_store(settings)
    metrics = Metrics()
    lifecycle = Lifecycle()
    metrics.ready.set_function(lambda: float(lifecycle.phase is Phase.READY))
    gate = Gate(metrics, now=time.time) if settings.keys_file else None
    feedback = open_feedback(settings, keys, metrics.registry, gate)
    reader = BodyReader(
        settings.max_body_bytes, _HELD_BODIES * settings.max_body_bytes, Expiry(settings.deadline_s, time.monotonic)
    )
    triggers = _trigger_routes(settings, keys, reader, gate) if settings.learn_file else {}
    watch = _watch(settings, keys, metrics.registry) if settings.learn_file else None
    pages = _pages(settings, keys, watch, gate) if watch is not None else {}
    routes: dict[str, ASGIApp] = {}
    for served in settings.served:
        manifest, tokenizer = load_tokenizer(served.bundle)
        judged = JudgedModel(manifest.labels, partial(_canonical_form, tokenizer))
        routes[served.root] = feedback.route(served.name, partial(_itself, judged), reader)

    @asynccontextmanager
    async def lifespan(_: FeedbackApplication) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if gate is not None:
                names = {model.name for model in settings.served}
                follow(Path(settings.keys_file), gate, metrics, names, stack)
            if watch is not None:
                watch.start()
                stack.callback(watch.end)
            feedback.writer.start()
            stack.push_async_callback(feedback.writer.close)
            lifecycle.open()
            stack.callback(lifecycle.drain)
            yield

    return FeedbackApplication(
        routes_by_root=routes,
        triggers_by_path=triggers,
        pages_by_path=pages,
        lifecycle=lifecycle,
        metrics=metrics,
        doors=Doors(gate, [(served.root, served.name) for served in settings.served], None, pages=pages)
        if gate
        else None,
        lifespan=lifespan,
        version=version("mlapi"),
        clock=time.monotonic,
    )


def _watch(settings: Settings, keys: FeedbackKeys, registry: CollectorRegistry) -> "Watch":
    """Return what tells the metrics of the learning loop.

    Raises:
        ConfigurationError: the loop's file cannot be read.
    """
    from mlapi.loop.plan import read_plan  # noqa: PLC0415  of no use where there is no loop
    from mlapi.loop.watch import Watch  # noqa: PLC0415  likewise
    from mlapi.observability.metrics import LearningMetrics  # noqa: PLC0415  likewise

    plan = read_plan(Path(settings.learn_file))
    runs, database = open_runs(settings, keys, plan)
    store = open_store(settings, keys)

    def close() -> None:
        store.close()
        database.close()

    return Watch(plan, runs, store, LearningMetrics(registry), close=close)


def _pages(settings: Settings, keys: FeedbackKeys, watch: "Watch", gate: Gate | None) -> dict[str, Page]:
    """Return the page of the learning loop, and what it consists of, by their paths.

    Raises:
        ConfigurationError: the loop's file cannot be read.
    """
    from mlapi.feedback.registry import Registry  # noqa: PLC0415  of no use where there is no loop
    from mlapi.loop.plan import read_plan  # noqa: PLC0415  likewise
    from mlapi.page.learning import LearningRoute, style_sheet  # noqa: PLC0415  likewise
    from mlapi.page.learning_rendering import LoopModel, Overview  # noqa: PLC0415  likewise

    plan = read_plan(Path(settings.learn_file))

    def load() -> Overview:
        runs, database = open_runs(settings, keys, plan)
        try:
            registry = Registry(database)
            models = [
                LoopModel(name, registry.history(name, _SHOWN), watch.accuracy.get(name, {})) for name in plan.models
            ]
            return Overview(models, runs.latest("", _SHOWN), int(plan.stuck_s * _MS), time.time_ns() // 1_000_000)
        finally:
            database.close()

    reader = BodyReader(_FORM_BYTES, _HELD_BODIES * _FORM_BYTES, Expiry(settings.deadline_s, time.monotonic))
    route = LearningRoute(load, reader, gate, time.monotonic)
    return {"/learn": Page(route, ("GET", "POST")), "/learn/page.css": Page(style_sheet())}


def _trigger_routes(
    settings: Settings, keys: FeedbackKeys, reader: BodyReader, gate: Gate | None
) -> "dict[str, ASGIApp]":
    """Return the routes that ask for runs of the learning loop, by their paths.

    Raises:
        ConfigurationError: the loop's file cannot be read.
    """
    from mlapi.api.trigger_route import TriggerRoute  # noqa: PLC0415  of no use where there is no loop
    from mlapi.dialects.trigger_bodies import read_alerts, read_event  # noqa: PLC0415  likewise
    from mlapi.loop.plan import read_plan  # noqa: PLC0415  likewise

    plan = read_plan(Path(settings.learn_file))

    def wanted(alert: str, model: str) -> bool:
        known = plan.models.get(model)
        return known is not None and (not alert or alert in known.triggers.alerts)

    def ask_for(triggers: "Sequence[Trigger]") -> list[str]:
        # In whichever thread it is: a connection of its own, because there is one request an hour.
        runs, database = open_runs(settings, keys, plan)
        try:
            return [run.id for run in runs.request(triggers, time.time_ns() // 1_000_000)]
        finally:
            database.close()

    return {
        "/learn/alerts": TriggerRoute(lambda body, _: read_alerts(body, wanted), ask_for, reader, gate),
        "/learn/events": TriggerRoute(lambda body, headers: read_event(body, headers, wanted), ask_for, reader, gate),
    }


def _canonical_form(tokenizer: Tokenizer, text: str) -> bytes:
    return tokenizer.canonical_forms([text])[0]


def _itself(judged: JudgedModel) -> JudgedModel:
    return judged
