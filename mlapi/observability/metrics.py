"""Every metric of the service, declared once: name, help, labels, buckets."""

import logging
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from mlapi.observability.drift import LABEL, Distributions, comparable
from mlapi.observability.tally import TallyCounter, TallyHistogram

_log = logging.getLogger(__name__)

LATENCY_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
CACHE_BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
BATCH_TEXT_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_TOKEN_BUCKETS: Final = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """The metrics of one service instance, in a registry of their own."""

    def __init__(self) -> None:
        """Register everything; two instances never share a counter."""
        # A series of creation times beside each counter doubles what Prometheus stores and no rule or panel reads it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        self.http_requests = TallyCounter(
            "mlapi_http_requests_total", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self.http_request_duration = TallyHistogram(
            "mlapi_http_request_duration_seconds",
            "Time from the first byte of a request's head to the end of its answer.",
            ("route",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.texts = TallyCounter(
            "mlapi_texts_total",
            "Texts answered, by where the answer came from.",
            ("model", "source"),
            registry=registry,
        )
        self.predictions = TallyCounter(
            "mlapi_predictions_total", "Texts answered, by the winning label.", ("model", "label"), registry=registry
        )
        self.computed_texts = TallyCounter(
            "mlapi_computed_texts_total",
            "Texts that the model computed, by the bins of each feature that drift is measured by.",
            ("model", "feature", "bin"),
            registry=registry,
        )
        self.truncated_texts = Counter(
            "mlapi_truncated_texts_total",
            "Texts answered that were cut to the model's maximum.",
            ("model",),
            registry=registry,
        )
        self.streams = Gauge("mlapi_streams", "Streams of lines that are open.", ("model",), registry=registry)
        self.stream_lines = TallyCounter(
            "mlapi_stream_lines_total",
            "Lines of streams: answered, or refused in their place.",
            ("model", "result"),
            registry=registry,
        )
        self.shed = Counter("mlapi_shed_total", "Requests refused, by reason.", ("model", "reason"), registry=registry)

        self.cache_operations = TallyCounter(
            "mlapi_cache_operations_total",
            "Cache look-ups and stores, one per text.",
            ("tier", "operation", "result"),
            registry=registry,
        )
        self.cache_operation_duration = Histogram(
            "mlapi_cache_operation_duration_seconds",
            "Time of one round trip to a cache tier, whatever the number of texts in it.",
            ("tier", "operation"),
            buckets=CACHE_BUCKETS_S,
            registry=registry,
        )
        self.cache_entries = Gauge("mlapi_cache_entries", "Entries held.", ("tier",), registry=registry)
        self.cache_bytes = Gauge("mlapi_cache_bytes", "Bytes held, overhead included.", ("tier",), registry=registry)
        self.cache_evictions = Counter(
            "mlapi_cache_evictions_total",
            "Entries dropped to make room for others.",
            ("tier",),
            registry=registry,
        )
        self.cache_breaker_state = Gauge(
            "mlapi_cache_breaker_state", "Redis circuit breaker: 0 closed, 1 half-open, 2 open.", registry=registry
        )
        self.cache_write_breaker_state = Gauge(
            "mlapi_cache_write_breaker_state",
            "Circuit breaker of stores in Redis: 0 closed, 1 half-open, 2 open.",
            registry=registry,
        )
        self.cache_writes_dropped = Counter(
            "mlapi_cache_writes_dropped_total",
            "Predictions not stored in Redis, for whatever reason.",
            registry=registry,
        )
        self.redis_node_up = Gauge(
            "mlapi_redis_node_up",
            "Primaries of Sentinels or of a cluster as they are known now: 1 asked, 0 not asked because it failed.",
            ("node",),
            registry=registry,
        )
        self.redis_primary_changes = Counter(
            "mlapi_redis_primary_changes_total",
            "How often other primaries than before were found: failovers, nodes added or removed.",
            registry=registry,
        )
        self.redis_redirects = Counter(
            "mlapi_redis_redirects_total",
            "Commands that a node of a cluster sent on to another: moved for good, or asked for this once.",
            ("kind",),
            registry=registry,
        )
        self.redis_files_stale = Gauge(
            "mlapi_redis_files_stale",
            "1 while a file with a password or certificate for Redis cannot be used as it is, else 0.",
            registry=registry,
        )

        self.batch_texts = Histogram(
            "mlapi_batch_texts",
            "Texts in one call of the engine.",
            ("model",),
            buckets=BATCH_TEXT_BUCKETS,
            registry=registry,
        )
        self.batch_tokens = Histogram(
            "mlapi_batch_tokens",
            "Tokens in one call of the engine: real ones, and with padding.",
            ("model", "kind"),
            buckets=BATCH_TOKEN_BUCKETS,
            registry=registry,
        )
        self.inference_duration = Histogram(
            "mlapi_inference_duration_seconds",
            "Time of one call of the engine.",
            ("model",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.inference_seconds = Counter(
            "mlapi_inference_seconds_total",
            "Seconds spent in the engine: the cost of misses.",
            ("model",),
            registry=registry,
        )
        self.queue_tokens = Gauge("mlapi_queue_tokens", "Tokens waiting for the engine.", ("model",), registry=registry)
        self.queue_wait = Histogram(
            "mlapi_queue_wait_seconds",
            "Time a text waited for the engine.",
            ("model",),
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.model = Info("mlapi_model", "A model that answers.", ("model",), registry=registry)
        self.keys = Gauge("mlapi_keys", "API keys that are let in; 0 while everybody is.", registry=registry)
        self.keys_file_stale = Gauge(
            "mlapi_keys_file_stale",
            "1 while the file of API keys cannot be used as it is, so that older keys hold, else 0.",
            registry=registry,
        )
        self.key_refusals = TallyCounter(
            "mlapi_key_refusals_total", "Requests refused for their API key, by reason.", ("reason",), registry=registry
        )
        self.key_texts = TallyCounter(
            "mlapi_key_texts_total",
            "Texts of each API key: answered, or refused by its quota. Those of many keys share the name `other`.",
            ("key", "result"),
            registry=registry,
        )
        self.quota_charges = TallyCounter(
            "mlapi_quota_charges_total",
            "Charges of shared quotas: decided in Redis, or by the process alone because Redis did not answer.",
            ("by",),
            registry=registry,
        )
        self.expected = Expected(registry)
        self.ready = Gauge("mlapi_ready", "1 while the service takes traffic, else 0.", registry=registry)


class Expected:
    """What bundles say of the distribution of answers; a process whose bundles say nothing has none of it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Have a place to register it in."""
        self._gauge = partial(Gauge, registry=registry)

    @cached_property
    def labels(self) -> Gauge:
        """Shares of labels, with which those of all answers are compared."""
        help_text = "Share of each label among the answers to the texts that the model was evaluated with."
        return self._gauge("mlapi_model_reference_share", help_text, ("model", "label"))

    @cached_property
    def bins(self) -> Gauge:
        """Shares of bins, with which those of the texts that the model computed are compared."""
        help_text = "Share of each bin of each feature among the same texts."
        return self._gauge("mlapi_model_reference_bin_share", help_text, ("model", "feature", "bin"))

    @cached_property
    def texts(self) -> Gauge:
        """How many texts that rests on."""
        return self._gauge("mlapi_model_reference_texts", "How many texts the shares of bins rest on.", ("model",))


class AskedMetrics:
    """The metrics of a process that asks for opinions; one that does not has none of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them beside the others of the process."""
        self.asked = TallyCounter(
            "mlapi_feedback_asked_total",
            "Detailed answers that asked for an opinion, by the sample that they were drawn for.",
            ("model", "sample"),
            registry=registry,
        )


class FeedbackMetrics:
    """The metrics of a process that takes feedback; one that does not has none of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them beside the others of the process."""
        self.votes = TallyCounter(
            "mlapi_feedback_votes_total",
            "Opinions taken, by the label that the model had given and whether they agree with it.",
            ("model", "label", "verdict"),
            registry=registry,
        )
        self.store_up = Gauge(
            "mlapi_feedback_store_up",
            "1 if the store of opinions answered when it was last asked, else 0.",
            registry=registry,
        )
        self.waiting = Gauge("mlapi_feedback_waiting_votes", "Opinions waiting to be written.", registry=registry)
        self.commit_duration = Histogram(
            "mlapi_feedback_commit_duration_seconds",
            "Time of one transaction of the store of opinions, whatever the number of opinions in it.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )


class RolloutMetrics:
    """What the gate of a rollout measured last, in a registry of its own; a gauge without a value is not shown."""

    def __init__(self) -> None:
        """Register everything."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.verdicts = Counter(
            "mlapi_rollout_verdicts_total",
            "Judgements of a new version: passed, failed, or not judged because too little was measured.",
            ("verdict",),
            registry=registry,
        )
        for verdict in ("passed", "failed", "unmeasured"):
            self.verdicts.labels(verdict)
        self.warmed = Gauge(
            "mlapi_rollout_warmed_texts",
            "Hot texts by what became of them at the last warm-up.",
            ("result",),
            registry=registry,
        )
        self.compared = Gauge("mlapi_rollout_compared_texts", "Texts of the last comparison.", registry=registry)
        self.flip_rate = Gauge(
            "mlapi_rollout_flip_rate",
            "Share whose label changed in the last comparison, of texts or of requests for them.",
            ("of",),
            registry=registry,
        )
        self.label_flip_rate = Gauge(
            "mlapi_rollout_label_flip_rate",
            "Share of the texts of one label whose label changed in the last comparison.",
            ("label",),
            registry=registry,
        )
        self.score_shift = Gauge(
            "mlapi_rollout_score_shift",
            "How far the old label's score moved in the last comparison.",
            ("statistic",),
            registry=registry,
        )


class LearningMetrics:
    """The metrics of a process that watches the learning loop; one that does not has none of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them beside the others of the process."""
        self.runs = Gauge(
            "mlapi_learning_runs", "Runs of the learning loop, by their state.", ("model", "state"), registry=registry
        )
        self.in_state = Gauge(
            "mlapi_learning_run_state_seconds",
            "How long the oldest run that has not ended is in its state; 0 where there is none.",
            ("model",),
            registry=registry,
        )
        self.stuck = Gauge(
            "mlapi_learning_run_stuck",
            "1 if that is longer than the loop's file allows, else 0.",
            ("model",),
            registry=registry,
        )
        self.accuracy = Gauge(
            "mlapi_model_accuracy",
            "How often the latest judged model is right, by the opinions that were asked for at random: the share, and "
            "the bounds of its 95 % interval.",
            ("model", "sample", "bound"),
            registry=registry,
        )
        self.accuracy_opinions = Gauge(
            "mlapi_model_accuracy_opinions",
            "On how many opinions that rests.",
            ("model", "sample"),
            registry=registry,
        )


class ConsumerMetrics:
    """The metrics of a process that answers the messages of a topic; one that does not has none of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them beside the others of the process."""
        self.messages = Counter(
            "mlapi_consumed_messages_total",
            "Messages whose answer is committed: answered, refused (now a dead letter), or without a value, passed on.",
            ("result",),
            registry=registry,
        )
        self.lag = Gauge(
            "mlapi_consumer_lag_messages",
            "Messages behind the last one that is done, by partition of this member.",
            ("topic", "partition"),
            registry=registry,
        )


class ModelMetrics:
    """The metrics of one model: those of the service that have the label `model`, with the model's name in it.

    Attributes:
        service: the metrics of the process that serves it.
        name: the label's value.
    """

    def __init__(self, service: Metrics, model: str) -> None:
        """Resolve what has no further label; `model` is the name that the model is served under."""
        self.service = service
        self.name = model
        self.texts = partial(service.texts.labels, model)
        self.predictions = partial(service.predictions.labels, model)
        self.shed = partial(service.shed.labels, model)
        self.batch_tokens = partial(service.batch_tokens.labels, model)
        self.stream_lines = partial(service.stream_lines.labels, model)
        self.streams = service.streams.labels(model)
        self.truncated_texts = service.truncated_texts.labels(model)
        self.batch_texts = service.batch_texts.labels(model)
        self.inference_duration = service.inference_duration.labels(model)
        self.inference_seconds = service.inference_seconds.labels(model)
        self.queue_tokens = service.queue_tokens.labels(model)
        self.queue_wait = service.queue_wait.labels(model)
        self.computed = Distributions(partial(service.computed_texts.labels, model))

    def describe(self, **facts: str) -> None:
        """Say which model this is."""
        self.service.model.labels(self.name).info(facts)

    def refer(self, shares: Mapping[str, float], bins: Mapping[str, Mapping[str, float]], texts: int | None) -> None:
        """Say how the model's answers are expected to be distributed.

        Args:
            shares: of each label; empty where its bundle says none, so that no drift is measured.
            bins: of each bin of each feature. Those of a release that had other bins are left out, which is logged.
            texts: how many texts that rests on.
        """
        expected = self.service.expected
        for label, share in shares.items():
            expected.labels.labels(self.name, label).set(share)
        if bins and not comparable(bins):
            _log.warning("no drift is measured but that of labels: refer the bundle anew", extra={"model": self.name})
        elif bins and texts is not None:
            for feature, found in {LABEL: shares, **bins}.items():
                for name, share in found.items():
                    expected.bins.labels(self.name, feature, name).set(share)
            expected.texts.labels(self.name).set(texts)
