"""`/metrics` holds exactly the published catalogue: dashboards, alerts and other people's queries rely on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from mlapi.observability.metrics import ConsumerMetrics, LearningMetrics, Metrics
from tests.e2e.api_keys import KeysFile, bearer
from tests.service_process import HOST, ServiceProcess

CATALOGUE: dict[str, tuple[str, set[str]]] = {
    "mlapi_http_requests": ("counter", {"route", "method", "status"}),
    "mlapi_http_request_duration_seconds": ("histogram", {"route"}),
    "mlapi_texts": ("counter", {"model", "source"}),
    "mlapi_predictions": ("counter", {"model", "label"}),
    "mlapi_cache_operations": ("counter", {"tier", "operation", "result"}),
    "mlapi_cache_operation_duration_seconds": ("histogram", {"tier", "operation"}),
    "mlapi_cache_entries": ("gauge", {"tier"}),
    "mlapi_cache_bytes": ("gauge", {"tier"}),
    "mlapi_cache_evictions": ("counter", {"tier"}),
    "mlapi_cache_breaker_state": ("gauge", set()),
    "mlapi_cache_write_breaker_state": ("gauge", set()),
    "mlapi_cache_writes_dropped": ("counter", set()),
    "mlapi_redis_node_up": ("gauge", {"node"}),
    "mlapi_redis_primary_changes": ("counter", set()),
    "mlapi_redis_redirects": ("counter", {"kind"}),
    "mlapi_redis_files_stale": ("gauge", set()),
    "mlapi_batch_texts": ("histogram", {"model"}),
    "mlapi_batch_tokens": ("histogram", {"model", "kind"}),
    "mlapi_inference_duration_seconds": ("histogram", {"model"}),
    "mlapi_inference_seconds": ("counter", {"model"}),
    "mlapi_queue_tokens": ("gauge", {"model"}),
    "mlapi_queue_wait_seconds": ("histogram", {"model"}),
    "mlapi_streams": ("gauge", {"model"}),
    "mlapi_stream_lines": ("counter", {"model", "result"}),
    "mlapi_shed": ("counter", {"model", "reason"}),
    "mlapi_truncated_texts": ("counter", {"model"}),
    "mlapi_model_info": ("gauge", {"model", "name", "digest", "engine", "precision"}),
    "mlapi_model_reference_share": ("gauge", {"model", "label"}),
    "mlapi_model_reference_bin_share": ("gauge", {"model", "feature", "bin"}),
    "mlapi_model_reference_texts": ("gauge", {"model"}),
    "mlapi_computed_texts": ("counter", {"model", "feature", "bin"}),
    "mlapi_ready": ("gauge", set()),
    "mlapi_keys": ("gauge", set()),
    "mlapi_keys_file_stale": ("gauge", set()),
    "mlapi_key_texts": ("counter", {"key", "result"}),
    "mlapi_quota_charges": ("counter", {"by"}),
    "mlapi_key_refusals": ("counter", {"reason"}),
}
"""Family, type, labels; of a counter the family's name is without the `_total` of its samples."""

ELSEWHERE = {"mlapi_redis_node_up"}
"""What only a Redis of another form has samples of: the primaries of Sentinels and clusters."""

FEEDBACK_CATALOGUE: dict[str, tuple[str, set[str]]] = {
    "mlapi_feedback_asked": ("counter", {"model", "sample"}),
    "mlapi_feedback_votes": ("counter", {"model", "label", "verdict"}),
    "mlapi_feedback_store_up": ("gauge", set()),
    "mlapi_feedback_waiting_votes": ("gauge", set()),
    "mlapi_feedback_commit_duration_seconds": ("histogram", set()),
}
"""What a process that takes opinions has besides."""

CONSUMER_CATALOGUE: dict[str, tuple[str, set[str]]] = {
    "mlapi_consumed_messages": ("counter", {"result"}),
    "mlapi_consumer_lag_messages": ("gauge", {"topic", "partition"}),
}
"""What `mlapi consume` has besides."""

LEARNING_CATALOGUE: dict[str, tuple[str, set[str]]] = {
    "mlapi_learning_runs": ("gauge", {"model", "state"}),
    "mlapi_learning_run_state_seconds": ("gauge", {"model"}),
    "mlapi_learning_run_stuck": ("gauge", {"model"}),
    "mlapi_model_accuracy": ("gauge", {"model", "sample", "bound"}),
    "mlapi_model_accuracy_opinions": ("gauge", {"model", "sample"}),
}
"""What a process that watches the learning loop has besides."""

VALUES = {
    ("mlapi_texts", "source"): {"l1", "l2", "collapsed", "model"},
    ("mlapi_cache_operations", "tier"): {"l1", "l2"},
    ("mlapi_cache_evictions", "tier"): {"l1"},
    ("mlapi_cache_operations", "operation"): {"get", "set"},
    ("mlapi_batch_tokens", "kind"): {"real", "padded"},
    ("mlapi_stream_lines", "result"): {"answered", "refused"},
    ("mlapi_predictions", "label"): {"NEGATIVE", "POSITIVE"},
    ("mlapi_model_reference_share", "label"): {"NEGATIVE", "POSITIVE"},
    ("mlapi_model_reference_bin_share", "feature"): {"label", "score", "tokens", "unknown"},
    ("mlapi_computed_texts", "feature"): {"label", "score", "tokens", "unknown"},
}
"""The values of the labels that have few, where the traffic below leads to all of them."""

DEFAULTS = ("process_", "python_")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Metric]]:
    """Everything after some traffic that touches every family; a Redis is named, and does not have to be there."""
    keys = KeysFile(tmp_path_factory.mktemp("keys"))
    headers = bearer(keys.add("test"))
    with ServiceProcess(
        engine="fake", redis_url=f"redis://{HOST}:1/0", max_texts="50", keys_file=str(keys.path)
    ) as service:
        service.predict([f"some text, number {number}" for number in range(40)], headers=headers)
        service.predict(["some text, number 1", "new", "new"], headers=headers)
        assert service.predict(["x"] * 51, headers=headers).status_code == 413
        assert service.predict("x").status_code == 401
        exposed = service.client.get("/metrics")
        assert exposed.headers["content-type"].startswith("text/plain; version=")
        yield {family.name: family for family in text_string_to_metric_families(exposed.text)}


def test_the_families_are_the_catalogue(families: dict[str, Metric]) -> None:
    ours = {name: family.type for name, family in families.items() if not name.startswith(DEFAULTS)}
    assert ours == {name: kind for name, (kind, _) in CATALOGUE.items()}


def test_process_and_python_defaults_are_there(families: dict[str, Metric]) -> None:
    expected = {"process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds", "python_info"}
    assert expected <= set(families)
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_sample_has_the_labels_of_the_catalogue(families: dict[str, Metric], name: str) -> None:
    kind, labels = CATALOGUE[name]
    family = families[name]
    assert bool(family.samples) == (name not in ELSEWHERE), "the traffic was meant to touch it"
    assert family.documentation.endswith(".")
    for sample in family.samples:
        assert not sample.name.endswith("_created")
        assert set(sample.labels) - ({"le"} if kind == "histogram" else set()) == labels, sample


def test_labels_take_the_values_of_the_catalogue(families: dict[str, Metric]) -> None:
    for (name, label), values in VALUES.items():
        assert {sample.labels[label] for sample in families[name].samples} == values, name


def test_a_process_that_takes_opinions_has_a_few_more(families: dict[str, Metric], tmp_path: Path) -> None:
    with ServiceProcess(
        engine="fake", feedback_url=f"sqlite:///{tmp_path}/feedback.db", feedback_ask_share="1"
    ) as service:
        details = service.predict(["one", "two"], query="?detail=true").json()["details"]
        for label in ("NEGATIVE", "POSITIVE"):
            votes = {"feedback": [{"id": detail["id"], "label": label} for detail in details]}
            assert service.client.post("/project/feedback", json=votes).status_code == 201
        found = {family.name: family for family in text_string_to_metric_families(service.client.get("/metrics").text)}
    ours = {name: found[name].type for name in found.keys() - families.keys()}
    assert ours == {name: kind for name, (kind, _) in FEEDBACK_CATALOGUE.items()}
    for name, (kind, labels) in FEEDBACK_CATALOGUE.items():
        for sample in found[name].samples:
            assert set(sample.labels) - ({"le"} if kind == "histogram" else set()) == labels, sample
    asked = {sample.labels["sample"]: sample.value for sample in found["mlapi_feedback_asked"].samples}
    assert asked == {"texts": 2, "requests": 2}
    assert {sample.labels["verdict"] for sample in found["mlapi_feedback_votes"].samples} == {"agrees", "corrects"}


def test_a_process_that_watches_the_learning_loop_has_a_few_more() -> None:
    registry = CollectorRegistry()
    metrics = LearningMetrics(registry)
    for gauge in (metrics.runs, metrics.in_state, metrics.stuck, metrics.accuracy, metrics.accuracy_opinions):
        gauge.labels(*("x" for _ in LEARNING_CATALOGUE[next(iter(gauge.collect())).name][1])).set(1)
    found = {family.name: (family.type, set(family.samples[0].labels)) for family in registry.collect()}
    assert found == LEARNING_CATALOGUE


def test_the_breaker_is_told_by_a_number(families: dict[str, Metric]) -> None:
    (sample,) = families["mlapi_cache_breaker_state"].samples
    assert sample.value in {0, 1, 2}


def test_a_consumer_has_these_besides() -> None:
    metrics = Metrics()
    consumer = ConsumerMetrics(metrics.registry)
    consumer.messages.labels("answered").inc()
    consumer.lag.labels("texts", "0").set(1)
    found = {
        family.name: (family.type, {name for sample in family.samples for name in sample.labels})
        for family in metrics.registry.collect()
        if family.name.startswith("mlapi_consume")
    }
    assert found == CONSUMER_CATALOGUE
