"""The lock-free counters say exactly what prometheus_client's would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

from mlapi.observability.tally import TallyCounter, TallyHistogram

BOUNDS = (0.001, 0.5, 2.0)


@given(st.lists(st.tuples(st.sampled_from(["a", 'b"\n', "c"]), st.sampled_from([1.0, 2.0, 0.5])), max_size=20))
def test_a_counter_reads_like_the_one_it_stands_for(counted: list[tuple[str, float]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyCounter("things_total", "Things.", ("kind",), registry=ours)
    counter = Counter("things_total", "Things.", ("kind",), registry=theirs)
    for kind, amount in counted:
        tally.labels(kind).inc(amount)
        counter.labels(kind).inc(amount)
    assert generate_latest(ours) == generate_latest(theirs)


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0.0, 0.001, 0.25, 0.5, 2.0, 7.0])), max_size=20)
)
def test_a_histogram_reads_like_the_one_it_stands_for(observed: list[tuple[str, float]]) -> None:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyHistogram("seconds", "Seconds.", ("route",), buckets=BOUNDS, registry=ours)
    histogram = Histogram("seconds", "Seconds.", ("route",), buckets=BOUNDS, registry=theirs)
    for route, value in observed:
        tally.labels(route).observe(value)
        histogram.labels(route).observe(value)
    assert generate_latest(ours) == generate_latest(theirs)


def test_a_wrong_number_of_label_values_is_refused() -> None:
    registry = CollectorRegistry()
    with pytest.raises(ValueError, match="things_total has the labels"):
        TallyCounter("things_total", "Things.", ("kind",), registry=registry).labels("a", "b")
    with pytest.raises(ValueError, match="seconds has the labels"):
        TallyHistogram("seconds", "Seconds.", ("route",), buckets=BOUNDS, registry=registry).labels()
