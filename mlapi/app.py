"""The composition root: builds the service out of its parts."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Final

from mlapi.api.accounting import Accounting
from mlapi.api.application import Application
from mlapi.api.body import BodyReader
from mlapi.api.client_limit import ClientLimit
from mlapi.api.decoding import TextLimits
from mlapi.api.expiry import Expiry
from mlapi.api.headers import RequestIds
from mlapi.api.known_bodies import KnownBodies
from mlapi.api.predict import PredictionRoute, RouteConfig
from mlapi.api.schemas import ModelInfo, ModelQuality
from mlapi.api.shortcut import Shortcut
from mlapi.api.state import Phase, Service, ServiceState
from mlapi.batching.admission import Admission
from mlapi.batching.batcher import Batcher
from mlapi.batching.buckets import padded_length
from mlapi.cache.breaker import CircuitBreaker
from mlapi.cache.codec import Codec
from mlapi.cache.keys import KeyMaker, namespace
from mlapi.cache.memory import MemoryStore
from mlapi.cache.redis import RedisStore, connect
from mlapi.cache.tiered import TieredStore
from mlapi.engines.tokenizer_executor import TokenizerExecutor
from mlapi.errors import ConfigurationError
from mlapi.loading import Model, load
from mlapi.observability.metrics import Metrics
from mlapi.observability.tracing import tracing_wanted
from mlapi.predictions import Renderer
from mlapi.predictor import Predictor
from mlapi.settings import Settings

_log = logging.getLogger(__name__)

_ROUTES: Final = ("predict", "bulk-predict")
_HELD_BODIES: Final = 8
_CLOCK: Final = time.monotonic
_RANDOM: Final = random.random


def create_app(settings: Settings, environment: Mapping[str, str], loading: Future[Model] | None = None) -> Application:
    """Build the application; it has its model when its lifespan has begun.

    Args:
        settings: the service's settings.
        environment: where OpenTelemetry's own variables are looked up.
        loading: the model, if it is being loaded already; None: it is loaded when the lifespan begins.
    """
    metrics = Metrics()
    state = ServiceState()
    metrics.ready.set_function(lambda: float(state.phase is Phase.READY))
    request_ids = RequestIds()
    routes, shortcuts = _prediction_ways(settings, metrics, state, request_ids)

    @asynccontextmanager
    async def lifespan(_: Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                service = await _start(settings, loading, metrics, stack)
            except ConfigurationError as error:
                _log.error("cannot start: %s", error.detail)
                raise
            state.open(service)
            stack.callback(state.close)
            _log.info("ready", extra={"model": service.model.name, "digest": service.model.digest})
            yield

    return Application(
        root=settings.root_path,
        predictions=routes,
        shortcuts=shortcuts,
        state=state,
        metrics=metrics,
        request_ids=request_ids,
        lifespan=lifespan,
        version=version("mlapi"),
        tracing=tracing_wanted(environment),
        clock=_CLOCK,
    )


def _prediction_ways(
    settings: Settings, metrics: Metrics, state: ServiceState, request_ids: RequestIds
) -> tuple[dict[str, PredictionRoute], dict[str, Shortcut]]:
    """Build the ordinary way and the short way of each prediction route, by the last part of its path."""
    reader = BodyReader(
        settings.max_body_bytes, _HELD_BODIES * settings.max_body_bytes, Expiry(settings.deadline_s, _CLOCK)
    )
    client_limit = ClientLimit(settings.client_texts_per_s, _CLOCK)
    config = RouteConfig(
        limits=TextLimits(settings.max_texts, settings.max_text_chars),
        deadline_s=settings.deadline_s,
        allow_no_cache=settings.allow_no_cache,
        client_header=settings.client_header.lower().encode(),
    )
    accounting = {name: Accounting(metrics, f"{settings.root_path}/{name}") for name in _ROUTES}
    routes = {
        name: PredictionRoute(
            config=config,
            state=state,
            reader=reader,
            client_limit=client_limit,
            accounting=accounting[name],
            request_ids=request_ids,
            clock=_CLOCK,
        )
        for name in _ROUTES
    }
    bodies = KnownBodies(secrets.token_bytes(16))
    shortcuts = {
        name: Shortcut(
            limits=config.limits,
            max_body_bytes=settings.max_body_bytes,
            state=state,
            bodies=bodies,
            accounting=accounting[name],
            request_ids=request_ids,
            clock=_CLOCK,
        )
        for name in _ROUTES
        if not client_limit.active
    }
    return routes, shortcuts


@dataclass(frozen=True, slots=True)
class _CacheState:
    """What the health route says of the cache."""

    redis: RedisStore | None

    @property
    def status(self) -> str:
        """`disabled` without a Redis, else how it is doing."""
        return "disabled" if self.redis is None else self.redis.state


async def _start(settings: Settings, loading: Future[Model] | None, metrics: Metrics, stack: AsyncExitStack) -> Service:
    """Wait for the model and wire everything around it; `stack` releases it again in reverse order."""
    if loading is None:
        begin = partial(load, settings.bundle, engine=settings.engine, threads=settings.threads, clock=_CLOCK)
        model = await asyncio.to_thread(begin)
    else:
        model = await asyncio.wrap_future(loading)
    stack.callback(model.executor.close)
    renderer = Renderer(model.manifest.labels)
    store, cache = _open_cache(settings, model.digest, renderer, metrics)
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
        clock=_CLOCK,
        metrics=metrics,
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
        renderer=renderer,
        clock=_CLOCK,
    )
    stack.push_async_callback(predictor.close)
    info = _describe(model)
    metrics.model.info(
        {"name": info.name, "digest": info.digest, "engine": info.engine, "precision": model.identity.precision}
    )
    return Service(predictor, info, cache)


def _open_cache(
    settings: Settings, digest: str, renderer: Renderer, metrics: Metrics
) -> tuple[TieredStore, _CacheState]:
    memory = MemoryStore(
        max_bytes=settings.l1_bytes, ttl_s=settings.cache_ttl_s, clock=_CLOCK, jitter=_RANDOM, metrics=metrics
    )
    if not settings.redis_url:
        return TieredStore(memory, None), _CacheState(None)
    timeout_s = settings.redis_timeout_ms / 1000
    redis = RedisStore(
        connect(settings.redis_url, timeout_s=timeout_s),
        Codec(digest, renderer),
        namespace=namespace(digest),
        breaker=CircuitBreaker(
            clock=_CLOCK, jitter=_RANDOM, on_change=lambda change: metrics.cache_breaker_state.set(change.value)
        ),
        metrics=metrics,
        clock=_CLOCK,
        jitter=_RANDOM,
        ttl_s=settings.cache_ttl_s,
        timeout_s=timeout_s,
    )
    return TieredStore(memory, redis), _CacheState(redis)


def _describe(model: Model) -> ModelInfo:
    measured = model.manifest.evaluation
    return ModelInfo(
        name=model.manifest.name,
        digest=model.digest,
        labels=list(model.manifest.labels),
        max_tokens=model.manifest.max_tokens,
        engine=model.identity.name,
        precision=model.identity.precision,
        evaluation=None
        if measured is None
        else ModelQuality(
            dataset=measured.dataset,
            texts=measured.texts,
            accuracy=measured.accuracy,
            reference_accuracy=measured.reference_accuracy,
            agreement=measured.agreement,
        ),
    )
