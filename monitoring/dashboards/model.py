"""The dashboard of the model: batches, padding, waiting, arithmetic, tokens, truncation, what a prediction costs."""

from typing import Final

from monitoring.dashboards.panels import CONTAINER, OURS, Dashboard, Panel, Query, Row, quantiles

_COMPUTED: Final = f'sum(rate(mlapi_texts_total{{{OURS}, source="model"}}[$__rate_interval]))'
_ANSWERED: Final = f"sum(rate(mlapi_texts_total{{{OURS}}}[$__rate_interval]))"
_INFERENCE: Final = f"sum(rate(mlapi_inference_seconds_total{{{OURS}}}[$__rate_interval]))"


def _tokens(kind: str) -> str:
    return f'sum(rate(mlapi_batch_tokens_sum{{{OURS}, kind="{kind}"}}[$__rate_interval]))'


def _mean(histogram: str, selector: str) -> str:
    return (
        f"sum(rate({histogram}_sum{{{selector}}}[$__rate_interval]))"
        f" / sum(rate({histogram}_count{{{selector}}}[$__rate_interval]))"
    )


_WORK: Final = (
    Panel(
        "Inference seconds per second",
        "The compute that the cache did not save: all pods, and each. It is what autoscaling by compute follows.",
        "short",
        (
            Query(_INFERENCE, "all"),
            Query(
                f"sum by (instance) (rate(mlapi_inference_seconds_total{{{OURS}}}[$__rate_interval]))",
                "{{instance}}",
            ),
        ),
    ),
    Panel(
        "Time of one call of the engine",
        "A batch of texts of one padded length.",
        "s",
        quantiles("mlapi_inference_duration_seconds", OURS),
    ),
    Panel(
        "Time that a text waits",
        "From admission to the call of the engine.",
        "s",
        quantiles("mlapi_queue_wait_seconds", OURS),
    ),
)

_BATCHES: Final = (
    Panel(
        "Texts in a batch",
        "Larger ones appear under load only: nothing waits for company.",
        "short",
        (Query(_mean("mlapi_batch_texts", OURS), "mean"), *quantiles("mlapi_batch_texts", OURS)[1:2]),
    ),
    Panel(
        "Padding",
        "Share of the computed tokens that are padding.",
        "percentunit",
        (Query(f"1 - {_tokens('real')} / {_tokens('padded')}", "padding"),),
    ),
    Panel(
        "Tokens",
        "Computed per second: those of the texts, and with padding.",
        "ops",
        (Query(_tokens("real"), "real"), Query(_tokens("padded"), "with padding")),
    ),
    Panel(
        "Tokens of a text",
        "Mean length of the texts that reached the model. It decides what a miss costs.",
        "short",
        (
            Query(
                f"{_tokens('real')} / sum(rate(mlapi_batch_texts_sum{{{OURS}}}[$__rate_interval]))",
                "tokens",
            ),
        ),
    ),
    Panel(
        "Tokens waiting",
        "For the model, in all pods.",
        "short",
        (Query(f"sum(job:mlapi_queue_tokens:sum{{{OURS}}})", "tokens"),),
    ),
    Panel(
        "Truncated",
        "Share of the answered texts that were longer than the model reads.",
        "percentunit",
        (Query(f"sum(rate(mlapi_truncated_texts_total{{{OURS}}}[$__rate_interval])) / {_ANSWERED}", "truncated"),),
    ),
)

_COST: Final = (
    Panel(
        "Inference seconds of 1 000 computed texts",
        "What a thousand misses cost the engine.",
        "s",
        (Query(f"1000 * {_INFERENCE} / {_COMPUTED}", "seconds"),),
    ),
    Panel(
        "Cost of 1 000 predictions",
        "At the price of a processor's hour that is set above: for the time used, and for all that is reserved.",
        "currencyUSD",
        (
            Query(
                f"1000 * $price / 3600 * sum(rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))"
                f" / {_ANSWERED}",
                "used",
            ),
            Query(
                f'1000 * $price / 3600 * sum(kube_pod_container_resource_requests{{{CONTAINER}, resource="cpu"}})'
                f" / {_ANSWERED}",
                "reserved",
            ),
        ),
    ),
    Panel(
        "Models",
        "Processes by model. More than one digest outside a rollout fires an alert.",
        "none",
        (
            Query(
                f"count by (name, digest, engine, precision) (mlapi_model_info{{{OURS}}})",
                "{{name}} {{precision}} {{engine}} {{digest}}",
            ),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    "model",
    "mlapi: model",
    "Batches, padding, waiting, arithmetic, tokens, truncation, cost.",
    (Row("Work", _WORK), Row("Batches", _BATCHES), Row("Cost", _COST)),
    inputs=(("price", "Price of a processor's hour, $", "0.04"),),
)
