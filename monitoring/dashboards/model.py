"""The dashboard of the models: batches, padding, waiting, arithmetic, tokens, truncation, what a prediction costs."""

from typing import Final

from monitoring.dashboards.panels import CONTAINER, OF_MODELS, OURS, Dashboard, Panel, Query, Row, quantiles


def _rate(counter: str, more: str = "") -> str:
    return f"sum by (model) (rate({counter}{{{OF_MODELS}{more}}}[$__rate_interval]))"


def _tokens(kind: str) -> str:
    return _rate("mlapi_batch_tokens_sum", f', kind="{kind}"')


_TEXTS: Final = _rate("mlapi_texts_total")
_COMPUTED: Final = _rate("mlapi_texts_total", ', source="model"')
_INFERENCE: Final = _rate("mlapi_inference_seconds_total")
_BATCHED: Final = _rate("mlapi_batch_texts_sum")
_CALLS: Final = _rate("mlapi_batch_texts_count")
_ALL_TEXTS: Final = f"sum(rate(mlapi_texts_total{{{OURS}}}[$__rate_interval]))"


_WORK: Final = (
    Panel(
        "Inference seconds per second",
        "The compute that the cache did not save: of each model in all pods, and in each pod. The sum is what "
        "autoscaling by compute follows.",
        "short",
        (
            Query(_INFERENCE, "{{model}}"),
            Query(
                f"sum by (instance, model) (rate(mlapi_inference_seconds_total{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} {{instance}}",
            ),
        ),
    ),
    Panel(
        "Time of one call of the engine",
        "A batch of texts of one padded length.",
        "s",
        quantiles("mlapi_inference_duration_seconds", OF_MODELS),
    ),
    Panel(
        "Time that a text waits",
        "From admission to the call of the engine.",
        "s",
        quantiles("mlapi_queue_wait_seconds", OF_MODELS),
    ),
)

_BATCHES: Final = (
    Panel(
        "Texts in a batch",
        "Larger ones appear under load only: nothing waits for company.",
        "short",
        (Query(f"{_BATCHED} / {_CALLS}", "{{model}} mean"), *quantiles("mlapi_batch_texts", OF_MODELS)[1:2]),
    ),
    Panel(
        "Padding",
        "Share of the computed tokens that are padding.",
        "percentunit",
        (Query(f"1 - {_tokens('real')} / {_tokens('padded')}", "{{model}}"),),
    ),
    Panel(
        "Tokens",
        "Computed per second: those of the texts, and with padding.",
        "ops",
        (Query(_tokens("real"), "{{model}} real"), Query(_tokens("padded"), "{{model}} with padding")),
    ),
    Panel(
        "Tokens of a text",
        "Mean length of the texts that reached the model. It decides what a miss costs.",
        "short",
        (Query(f"{_tokens('real')} / {_BATCHED}", "{{model}}"),),
    ),
    Panel(
        "Tokens waiting",
        "For each model, in all pods.",
        "short",
        (Query(f"sum by (model) (mlapi_queue_tokens{{{OF_MODELS}}})", "{{model}}"),),
    ),
    Panel(
        "Truncated",
        "Share of the answered texts that were longer than the model reads.",
        "percentunit",
        (Query(f"{_rate('mlapi_truncated_texts_total')} / {_TEXTS}", "{{model}}"),),
    ),
)

_COST: Final = (
    Panel(
        "Inference seconds of 1 000 computed texts",
        "What a thousand misses cost the engine.",
        "s",
        (Query(f"1000 * {_INFERENCE} / {_COMPUTED}", "{{model}}"),),
    ),
    Panel(
        "Cost of 1 000 predictions",
        "Of all models, which share a pod, at the price of a processor's hour that is set above: for the time used, "
        "and for all that is reserved.",
        "currencyUSD",
        (
            Query(
                f"1000 * $price / 3600 * sum(rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval]))"
                f" / {_ALL_TEXTS}",
                "used",
            ),
            Query(
                f'1000 * $price / 3600 * sum(kube_pod_container_resource_requests{{{CONTAINER}, resource="cpu"}})'
                f" / {_ALL_TEXTS}",
                "reserved",
            ),
        ),
    ),
    Panel(
        "Models",
        "Processes by model. Outside a rollout, more than one digest of a model, or fewer processes than are ready, "
        "fires an alert.",
        "none",
        (
            Query(
                f"count by (model, name, digest, engine, precision) (mlapi_model_info{{{OF_MODELS}}})",
                "{{model}}: {{name}} {{precision}} {{engine}} {{digest}}",
            ),
        ),
    ),
)

_VOTES: Final = "mlapi_feedback_votes_total"

_FEEDBACK: Final = (
    Panel(
        "Opinions",
        "Taken per second, by whether they agree with what the model had said, and asked for. People correct more than "
        "they confirm: this is no accuracy.",
        "ops",
        (
            Query(
                f"sum by (model, verdict) (rate({_VOTES}{{{OF_MODELS}}}[$__rate_interval]))", "{{model}} {{verdict}}"
            ),
            Query(
                f"sum by (model, sample) (rate(mlapi_feedback_asked_total{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} asked, of all {{sample}}",
            ),
        ),
    ),
    Panel(
        "Corrections",
        "Of the opinions on answers with a label, the share that corrects it. A rise of one label is worth a look.",
        "percentunit",
        (
            Query(
                f'sum by (model, label) (rate({_VOTES}{{{OF_MODELS}, verdict="corrects"}}[$__rate_interval]))'
                f" / sum by (model, label) (rate({_VOTES}{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} {{label}}",
            ),
        ),
    ),
    Panel(
        "Store of opinions",
        "Processes whose store does not answer, and opinions that wait for it. Predictions need neither.",
        "short",
        (
            Query(f"sum(1 - mlapi_feedback_store_up{{{OURS}}})", "without store"),
            Query(f"sum(mlapi_feedback_waiting_votes{{{OURS}}})", "waiting"),
        ),
    ),
    Panel(
        "Time of a commit",
        "All opinions that wait are written together.",
        "s",
        quantiles("mlapi_feedback_commit_duration_seconds", OURS),
    ),
)

_LEARNING: Final = (
    Panel(
        "Accuracy",
        "Of the latest judged model, by the opinions that were asked for at random, with the bounds of the 95 % "
        "interval. Below 85 % an alert fires.",
        "percentunit",
        (
            Query(
                f"max by (model, sample, bound) (mlapi_model_accuracy{{{OF_MODELS}}})", "{{model}} {{sample}} {{bound}}"
            ),
        ),
    ),
    Panel(
        "Runs",
        "Of the learning loop, by their state.",
        "short",
        (Query(f"max by (model, state) (mlapi_learning_runs{{{OF_MODELS}}})", "{{model}} {{state}}"),),
    ),
    Panel(
        "Time in one state",
        "Of the run that has not ended. One that is stuck fires an alert.",
        "s",
        (Query(f"max by (model) (mlapi_learning_run_state_seconds{{{OF_MODELS}}})", "{{model}}"),),
    ),
)

_DRIFT: Final = (
    Panel(
        "Drift of the answers",
        "Population stability index of the labels of all answers of a day, against those of the evaluation. Above 0.25 "
        "an alert fires.",
        "short",
        (Query(f"job_model_drift:mlapi_predictions:psi1d{{{OF_MODELS}}}", "{{model}}"),),
    ),
    Panel(
        "Drift of the texts",
        "The same index of the texts that the model computed: label, its score, tokens, unknown tokens; and of the hit "
        "ratio, against the week before. What is not measured has no line here.",
        "short",
        (Query(f"job_model_feature:mlapi_drift:psi1d{{{OF_MODELS}}}", "{{model}} {{feature}}"),),
    ),
    Panel(
        "Not measured",
        "1 for what nobody can say has drifted or not: fewer than 1 000 texts a day, a reference of fewer than 200, a "
        "bundle without one, or a tokenizer that knows every text.",
        "short",
        (Query(f"job_model_feature:mlapi_drift:measured{{{OF_MODELS}}} == bool 0", "{{model}} {{feature}}"),),
    ),
    Panel(
        "Score of the computed texts",
        "Share of the texts by the upper bound of the winning label's score.",
        "percentunit",
        (
            Query(
                f'job_model_feature_bin:mlapi_computed_texts:share1d{{{OF_MODELS}, feature="score"}}',
                "{{model}} {{bin}}",
            ),
        ),
    ),
)

DASHBOARD: Final = Dashboard(
    "model",
    "mlapi: model",
    "Of each model: batches, padding, waiting, arithmetic, tokens, truncation, cost, opinions.",
    (
        Row("Work", _WORK),
        Row("Batches", _BATCHES),
        Row("Cost", _COST),
        Row("Feedback", _FEEDBACK),
        Row("Learning", _LEARNING),
        Row("Drift", _DRIFT),
    ),
    inputs=(("price", "Price of a processor's hour, $", "0.04"),),
)
