"""Texts are counted in the bins that bundles have shares of, and in no others."""

import logging

import pytest
from prometheus_client import generate_latest

from mlapi.bundles.reference import referred
from mlapi.bundles.store import read_manifest
from mlapi.observability.drift import BOUNDS, Sample, comparable
from mlapi.observability.metrics import Metrics, ModelMetrics
from mlapi.settings import LAB_BUNDLE

SHARES = {"NEGATIVE": 0.25, "POSITIVE": 0.75}


def sample() -> Sample:
    made = Sample()
    made.observe("POSITIVE", 0.9, 16, 0.0)
    made.observe("POSITIVE", 0.95, 17, None)
    made.observe("NEGATIVE", 0.999, 900, 1.0)
    made.observe("POSITIVE", 0.2, 1, 0.05)
    return made


def exposed(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_a_bound_belongs_to_its_bin_and_what_cannot_be_said_counts_nowhere() -> None:
    made = sample()
    assert made.texts == 4
    assert made.shares("label") == SHARES
    scores, tokens, unknown = (made.shares(feature) for feature in BOUNDS)
    assert {name: share for name, share in scores.items() if share} == dict.fromkeys(
        ("0.9", "0.95", "+Inf", "0.4"), 0.25
    )
    assert {name: share for name, share in tokens.items() if share} == dict.fromkeys(
        ("16.0", "32.0", "+Inf", "4.0"), 0.25
    )
    assert {name: share for name, share in unknown.items() if share} == dict.fromkeys(("0.0", "0.05", "+Inf"), 1 / 3)
    assert Sample().shares("score") == {}


def test_the_service_counts_what_a_bundle_has_shares_of() -> None:
    """Bins of a metric and bins of a manifest have the same names, or no rule could compare them."""
    metrics = Metrics()
    of_model = ModelMetrics(metrics, "project")
    made = referred(read_manifest(LAB_BUNDLE), sample())
    of_model.computed.observe("POSITIVE", 0.5, 3, 0.0)
    of_model.refer(made.reference, made.reference_bins, made.reference_texts)
    shown = exposed(metrics)
    for feature, bins in {"label": made.reference, **made.reference_bins}.items():
        for name, share in bins.items():
            series = f'{{bin="{name}",feature="{feature}",model="project"}}'
            assert f"mlapi_model_reference_bin_share{series} {share}\n" in shown
            counted = f"mlapi_computed_texts_total{series} "
            assert counted in shown or (feature, name) == ("label", "NEGATIVE"), series
    assert 'mlapi_model_reference_texts{model="project"} 4.0\n' in shown


def test_a_text_of_which_nothing_is_unknown_is_told_from_a_tokenizer_that_cannot_say() -> None:
    metrics = Metrics()
    of_model = ModelMetrics(metrics, "project")
    of_model.computed.observe("POSITIVE", 0.5, 3, None)
    assert 'feature="unknown"' not in exposed(metrics)
    of_model.computed.observe("POSITIVE", 0.5, 3, 0.0)
    assert 'mlapi_computed_texts_total{bin="0.0",feature="unknown",model="project"} 1.0\n' in exposed(metrics)


@pytest.mark.parametrize("bins", [{"score": {"0.5": 1.0}}, {"mood": {"+Inf": 1.0}}])
def test_shares_of_other_bins_are_not_compared_and_that_is_said(
    bins: dict[str, dict[str, float]], caplog: pytest.LogCaptureFixture
) -> None:
    assert not comparable(bins)
    metrics = Metrics()
    with caplog.at_level(logging.WARNING):
        ModelMetrics(metrics, "project").refer(SHARES, bins, 872)
    assert [record.message for record in caplog.records] == [
        "no drift is measured but that of labels: refer the bundle anew"
    ]
    shown = exposed(metrics)
    assert 'mlapi_model_reference_share{label="POSITIVE",model="project"} 0.75\n' in shown
    assert "mlapi_model_reference_bin_share" not in shown
    assert "mlapi_model_reference_texts" not in shown


def test_a_bundle_that_expects_nothing_has_no_series() -> None:
    metrics = Metrics()
    ModelMetrics(metrics, "project").refer({}, {}, None)
    assert "mlapi_model_reference" not in exposed(metrics)
