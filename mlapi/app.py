"""The composition root: builds the service out of its parts."""

import asyncio
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mlapi.access.gate import Gate
from mlapi.access.shared_quota import SharedQuota
from mlapi.access.watched_file import follow
from mlapi.api.accounting import Accounting
from mlapi.api.application import Application
from mlapi.api.body import BodyReader
from mlapi.api.body_deadline import Expiry
from mlapi.api.cache_state import RedisCacheState
from mlapi.api.client_limit import ClientLimit
from mlapi.api.headers import RequestIds
from mlapi.api.hot_texts_route import with_hot_texts
from mlapi.api.lifecycle import Lifecycle, Phase
from mlapi.api.model_info import describe
from mlapi.api.mounting import Mount, mount_models, mount_process
from mlapi.api.route import RouteConfig, RouteParts, Target
from mlapi.api.served_model import LoadedModel, ServedModel
from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher
from mlapi.batching.buckets import padded_length
from mlapi.batching.run_gate import RunGate
from mlapi.cache.keys import KeyMaker
from mlapi.cache.l1 import MemoryStore
from mlapi.cache.l2 import RedisServer, RedisStore
from mlapi.cache.shared_redis import open_nodes, open_server, open_store
from mlapi.cache.tiered import TieredStore
from mlapi.dialects.base import AnsweringModel, ModelFacts, TextLimits, WireFormat
from mlapi.dialects.formats import wire_formats
from mlapi.dialects.ranked import RankedLabels
from mlapi.errors import ConfigurationError
from mlapi.model import Model, load_all
from mlapi.observability.metrics import AskedMetrics, Metrics, ModelMetrics
from mlapi.observability.tracing import tracing_wanted
from mlapi.page.site import form_reader, with_pages
from mlapi.postprocessing import Postprocessor
from mlapi.predictor import Predictor
from mlapi.redis_nodes.base import RedisNodes
from mlapi.redis_nodes.breaker import CircuitBreaker
from mlapi.redis_nodes.circuit import Circuit
from mlapi.settings import Settings
from mlapi.tokenizing.tokenizer_executor import TokenizerExecutor

if TYPE_CHECKING:
    from mlapi.api.feedback_route import JudgedModel
    from mlapi.feedback.keys import FeedbackKeys
    from mlapi.feedback_app import Feedback

_log = logging.getLogger(__name__)

_HELD_BODIES: Final = 8
_CLOCK: Final = time.monotonic
_RANDOM: Final = random.random


def create_app(
    settings: Settings, environment: Mapping[str, str], loading: Future[list[Model]] | None = None
) -> Application:
    """Build the application; it has its models when its lifespan has begun.

    Args:
        settings: the service's settings.
        environment: where OpenTelemetry's own variables are looked up.
        loading: the models in the order of `settings.served`, if they are being loaded already; None: they are loaded
            when the lifespan begins.
    """
    metrics = Metrics()
    lifecycle = Lifecycle()
    metrics.ready.set_function(lambda: float(lifecycle.phase is Phase.READY))
    request_ids = RequestIds()
    of_models = [ModelMetrics(metrics, model.name) for model in settings.served]
    gate = Gate(metrics, now=time.time) if settings.keys_file else None
    keys, feedback = _open_feedback(settings, metrics, gate)
    formats = wire_formats(clock=time.time, new_id=lambda: uuid.uuid4().hex)
    mounts, process = _mount(settings, formats, of_models, lifecycle, request_ids, gate=gate, feedback=feedback)

    @asynccontextmanager
    async def lifespan(_: Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                redis = _open_redis(settings, metrics, stack)
                if gate is not None:
                    _open_gate(settings, gate, redis, metrics, stack)
                models = await _load(settings, loading, stack)
                shared = _share(settings, models, redis, metrics, keys)
                loaded = [
                    await _start(settings, model, of_model, shared, stack)
                    for model, of_model in zip(models, of_models, strict=True)
                ]
            except ConfigurationError as error:
                _log.error("cannot start: %s", error.detail)
                raise
            if feedback is not None:
                feedback.writer.start()
                stack.push_async_callback(feedback.writer.close)
            _open([mount.served for mount in mounts], loaded, lifecycle, stack)
            if gate is None:
                _log.info("everybody who reaches this service may ask it: there is no MLAPI_KEYS_FILE")
            _log.info("ready")
            yield

    return Application(
        mounts=mounts,
        process=process,
        formats=formats,
        lifecycle=lifecycle,
        metrics=metrics,
        request_ids=request_ids,
        gate=gate,
        lifespan=lifespan,
        version=version("mlapi"),
        tracing=tracing_wanted(environment),
        cors_origins=settings.cors_origins,
        clock=_CLOCK,
    )


def _open(
    served: Sequence[ServedModel], loaded: Sequence[LoadedModel], lifecycle: Lifecycle, stack: AsyncExitStack
) -> None:
    """Serve the models that are loaded, and take traffic; `stack` ends that."""
    for place, model in zip(served, loaded, strict=True):
        place.open(model)
        stack.callback(place.close)
        _log.info("loaded", extra={"root": place.root, "model": model.info.name, "digest": model.info.digest})
    lifecycle.open()
    stack.callback(lifecycle.drain)


def _open_feedback(
    settings: Settings, metrics: Metrics, gate: Gate | None
) -> "tuple[FeedbackKeys | None, Feedback | None]":
    """Return the secret that signs ids, and what takes opinions; what is not configured is not even imported."""
    if not (settings.feedback_url or settings.feedback_key_file):
        return None, None
    from mlapi.feedback_app import open_feedback, require_keys  # noqa: PLC0415  as said above

    keys = require_keys(settings)
    return keys, open_feedback(settings, keys, metrics.registry, gate) if settings.feedback_url else None


def _mount(
    settings: Settings,
    formats: Sequence[WireFormat],
    of_models: Sequence[ModelMetrics],
    lifecycle: Lifecycle,
    request_ids: RequestIds,
    *,
    gate: Gate | None,
    feedback: "Feedback | None",
) -> tuple[list[Mount], Mount]:
    """Build the routes: of each model, with one for opinions where they are taken, and of the process."""
    reader = BodyReader(
        settings.max_body_bytes, _HELD_BODIES * settings.max_body_bytes, Expiry(settings.deadline_s, _CLOCK)
    )
    client_limit = ClientLimit(settings.client_texts_per_s, _CLOCK)
    config = _route_config(settings)
    served = [ServedModel(model.root, lifecycle, model.name) for model in settings.served]
    metrics = dict(zip(served, of_models, strict=True))

    def make_parts(model: ServedModel, path: str, others: Sequence[ServedModel]) -> RouteParts:
        return RouteParts(
            config=config,
            served=model,
            reader=reader,
            client_limit=client_limit,
            accounting=Accounting(metrics[model], path),
            request_ids=request_ids,
            clock=_CLOCK,
            gate=gate,
            others=[Target(other, Accounting(metrics[other], path)) for other in others],
        )

    def facts(model: ServedModel) -> ModelFacts:
        return ModelFacts(
            name=model.name,
            info=model.loaded.info,
            limits=config.limits,
            max_waiting_tokens=settings.max_waiting_tokens,
            max_connections=settings.max_connections,
            version=version("mlapi"),
        )

    mounts = mount_models(formats, served, make_parts, facts, gate)
    if feedback is not None:
        mounts = [
            mount._replace(feedback=feedback.route(mount.served.name, partial(_judged, mount.served), reader))
            for mount in mounts
        ]
    mounts = with_hot_texts(mounts, settings.hot_texts_bytes, _CLOCK, _RANDOM)
    if settings.pages:
        reader = form_reader(settings.max_body_bytes, settings.max_text_chars, Expiry(settings.deadline_s, _CLOCK))
        mounts = with_pages(mounts, reader, gate, max_chars=settings.max_text_chars)
    return mounts, mount_process(formats, served, make_parts, facts, gate)


def _route_config(settings: Settings) -> RouteConfig:
    return RouteConfig(
        limits=TextLimits(settings.max_texts, settings.max_text_chars),
        deadline_s=settings.deadline_s,
        allow_no_cache=settings.allow_no_cache,
        client_header=settings.client_header.lower().encode(),
        max_body_bytes=settings.max_body_bytes,
        idle_s=settings.keep_alive_s,
        origins=settings.cors_origins,
    )


def _judged(served: ServedModel) -> "JudgedModel":
    """Return a model as its feedback route knows it, once it is loaded."""
    from mlapi.api.feedback_route import JudgedModel  # noqa: PLC0415  imported where there is a route

    loaded = served.loaded
    return JudgedModel(loaded.info.labels, loaded.predictor.canonical_form)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What all models of the process use: L1, or one that keeps nothing, Redis, the processors, a secret for ids."""

    memory: MemoryStore
    no_memory: MemoryStore
    redis: RedisServer | None
    open_store: Callable[[RedisServer, str, Postprocessor], RedisStore]
    gate: RunGate
    metrics: Metrics
    keys: "FeedbackKeys | None"
    asks: AskedMetrics | None


def _open_redis(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> RedisNodes | None:
    """Return the Redis that everyone shares, None if there is none to be; `stack` closes it."""
    target = settings.redis_target
    if target is None:
        return None
    budget_s, models = settings.redis_timeout_ms / 1000, len(settings.served)
    redis = open_nodes(target, metrics, models=models, timeout_s=budget_s, clock=_CLOCK, jitter=_RANDOM)
    stack.push_async_callback(redis.close)
    return redis


def _open_gate(
    settings: Settings, gate: Gate, redis: RedisNodes | None, metrics: Metrics, stack: AsyncExitStack
) -> None:
    """Let in by the API keys and count their texts; `stack` ends that.

    Raises:
        ConfigurationError: there is a file, and it cannot be read.
    """
    follow(Path(settings.keys_file), gate, metrics, {model.name for model in settings.served}, stack)
    if redis is not None:
        gate.accounts.shared = SharedQuota(
            redis,
            Circuit(
                CircuitBreaker(clock=_CLOCK, jitter=_RANDOM, on_change=lambda _: None),
                stopped="quotas are counted by this process alone for now",
                resumed="quotas are shared through Redis again",
            ),
            clock=_CLOCK,
            timeout_s=settings.redis_timeout_ms / 1000,
        )
    stack.push_async_callback(gate.accounts.close)
    stack.callback(asyncio.create_task(gate.accounts.look_after()).cancel)


async def _load(settings: Settings, loading: Future[list[Model]] | None, stack: AsyncExitStack) -> Sequence[Model]:
    """Wait for the models; `stack` releases them again."""
    if loading is None:
        begin = partial(
            load_all,
            settings.served,
            engine=settings.engine,
            threads=settings.threads,
            clock=_CLOCK,
            l1_bytes=settings.l1_bytes,
        )
        models = await asyncio.to_thread(begin)
    else:
        models = await asyncio.wrap_future(loading)
    for model in models:
        stack.callback(model.executor.close)
    return models


def _share(
    settings: Settings,
    models: Sequence[Model],
    nodes: RedisNodes | None,
    metrics: Metrics,
    keys: "FeedbackKeys | None",
) -> _Shared:
    """Make what there is once a process."""
    open_memory = partial(MemoryStore, ttl_s=settings.cache_ttl_s, clock=_CLOCK, jitter=_RANDOM)
    memory = open_memory(max_bytes=settings.l1_bytes, metrics=metrics)
    # Its metrics are nobody's: it holds nothing.
    no_memory = open_memory(max_bytes=0, metrics=Metrics())
    redis = None if nodes is None else open_server(nodes, metrics, clock=_CLOCK, jitter=_RANDOM)
    return _Shared(
        memory,
        no_memory,
        redis,
        partial(
            open_store,
            metrics=metrics,
            ttl_s=settings.cache_ttl_s,
            timeout_s=settings.redis_timeout_ms / 1000,
            clock=_CLOCK,
            jitter=_RANDOM,
        ),
        RunGate(max(model.streams for model in models)),
        metrics,
        keys,
        AskedMetrics(metrics.registry) if keys is not None else None,
    )


async def _start(
    settings: Settings, model: Model, metrics: ModelMetrics, shared: _Shared, stack: AsyncExitStack
) -> LoadedModel:
    """Wire everything around a model; `stack` releases it again in reverse order."""
    postprocessor = Postprocessor(model.manifest.labels, model.manifest.activation)
    tiers = settings.cache or model.manifest.cache
    redis = shared.redis if tiers == "both" else None
    memory = shared.no_memory if tiers == "none" else shared.memory
    store = TieredStore(memory, shared.open_store(redis, model.digest, postprocessor) if redis else None)
    stack.push_async_callback(store.close)
    admission = Admission(
        max_waiting_tokens=settings.max_waiting_tokens,
        rate=model.warm_up.tokens_per_second * model.streams,
        clock=_CLOCK,
        metrics=metrics,
        streams=model.streams,
    )
    batcher = Batcher(
        model.executor.run,
        admission=admission,
        bucket=partial(padded_length, max_tokens=model.manifest.max_tokens),
        # What the engine does not compute together would only make its first text wait for its last.
        max_batch_tokens=max(1, min(settings.max_batch_tokens or model.batch_tokens, model.warm_up.together_tokens)),
        streams=model.streams,
        split_tokens=model.split_tokens,
        clock=_CLOCK,
        metrics=metrics,
        gate=shared.gate,
        slot_s=settings.deadline_s / 100,
        settle=model.executor.settle,
    )
    stack.push_async_callback(batcher.close, settings.deadline_s)
    tokenizing = TokenizerExecutor(model.tokenizer)
    stack.callback(tokenizing.close)
    predictor = Predictor(
        tokenizer=model.tokenizer,
        tokenize=tokenizing.encode,
        keys=KeyMaker(model.digest),
        store=store,
        admission=admission,
        batcher=batcher,
        postprocessor=postprocessor,
        computed=metrics.computed,
        clock=_CLOCK,
    )
    stack.push_async_callback(predictor.close)
    info = describe(model)
    metrics.describe(name=info.name, digest=info.digest, engine=info.engine, precision=model.identity.precision)
    metrics.refer(model.manifest.reference, model.manifest.reference_bins, model.manifest.reference_texts)
    answering = AnsweringModel(info.name, info.digest, RankedLabels(postprocessor), served_as=metrics.name)
    if shared.keys is not None and shared.asks is not None:
        from mlapi.feedback_app import answer_ids, identify  # noqa: PLC0415  imported where there are keys

        ids = answer_ids(settings, shared.keys, metrics.name)
        asked = partial(shared.asks.asked.labels, metrics.name)
        answering = replace(answering, identify=identify(ids, info.digest, postprocessor, asked))
    return LoadedModel(predictor, info, answering, RedisCacheState(redis), tokenizing, model.contributions)
