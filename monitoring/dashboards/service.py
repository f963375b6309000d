"""The dashboard to open first: objectives, requests, errors, durations, saturation."""

from typing import Final

from monitoring.dashboards.panels import OF_MODELS, OURS, PREDICTIONS, Dashboard, Panel, Query, Row, quantiles

_WINDOWS: Final = ("5m", "1h", "6h", "3d")

_NUMBERS: Final = (
    Panel(
        "Ready pods",
        "Pods that take traffic.",
        "short",
        (Query(f"sum(mlapi_ready{{{OURS}}})", "pods"),),
        columns=4,
        kind="number",
    ),
    Panel(
        "Requests",
        "Requests for predictions per second, in whatever wire format.",
        "reqps",
        (
            Query(
                f"sum(rate(mlapi_http_requests_total{{{OURS}, {PREDICTIONS}}}[$__rate_interval]))",
                "requests",
            ),
        ),
        columns=4,
        kind="number",
    ),
    Panel(
        "Failures",
        "Share of these requests that ended with a 5xx, over five minutes.",
        "percentunit",
        (Query(f"max(job:mlapi_request_failures:ratio_rate5m{{{OURS}}})", "failures"),),
        columns=4,
        kind="number",
    ),
    Panel(
        "Slower than 2 s",
        "Share of predict requests, over five minutes.",
        "percentunit",
        (Query(f"max(job:mlapi_request_slow:ratio_rate5m{{{OURS}}})", "slow"),),
        columns=4,
        kind="number",
    ),
    Panel(
        "Hits",
        "Share of each model's texts that either cache tier knew, over five minutes.",
        "percentunit",
        (Query(f"min by (model) (job_model:mlapi_cache_hits:ratio_rate5m{{{OF_MODELS}}})", "{{model}}"),),
        columns=4,
        kind="number",
    ),
    Panel(
        "Texts",
        "Texts answered per second, from wherever, by model.",
        "ops",
        (Query(f"sum by (model) (job_model:mlapi_texts:rate5m{{{OF_MODELS}}})", "{{model}}"),),
        columns=4,
        kind="number",
    ),
)

_OBJECTIVES: Final = (
    Panel(
        "Availability: burn rate",
        "At 1 the budget of 0.1 % failures lasts exactly 30 days; alerts page at 14.4 over an hour, at 6 over six.",
        "short",
        tuple(
            Query(f"max(job:mlapi_request_failures:ratio_rate{window}{{{OURS}}}) / 0.001", window)
            for window in _WINDOWS
        ),
        columns=12,
    ),
    Panel(
        "Latency: burn rate",
        "At 1 the budget of 1 % predict requests slower than 2 s lasts exactly 30 days.",
        "short",
        tuple(Query(f"max(job:mlapi_request_slow:ratio_rate{window}{{{OURS}}}) / 0.01", window) for window in _WINDOWS),
        columns=12,
    ),
)

_REQUESTS: Final = (
    Panel(
        "Requests by route",
        "Every answered request, probes and scrapes too.",
        "reqps",
        (Query(f"sum by (route) (rate(mlapi_http_requests_total{{{OURS}}}[$__rate_interval]))", "{{route}}"),),
    ),
    Panel(
        "Requests that were not served",
        "4xx are the caller's, 5xx are ours; 499 is a caller that went away.",
        "reqps",
        (
            Query(
                "sum by (route, status) "
                f'(rate(mlapi_http_requests_total{{{OURS}, status=~"[45].."}}[$__rate_interval]))',
                "{{status}} {{route}}",
            ),
        ),
    ),
    Panel(
        "Refused",
        "Requests refused by reason: no room or no time in the queue, too large, over the client's share.",
        "reqps",
        (
            Query(
                f"sum by (model, reason) (rate(mlapi_shed_total{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} {{reason}}",
            ),
        ),
    ),
    Panel(
        "Failures by model",
        "Share of each model's requests that ended with a 5xx, over five minutes. Above 10 % fires an alert.",
        "percentunit",
        (Query(f"max by (model) (job_model:mlapi_request_failures:ratio_rate5m{{{OF_MODELS}}})", "{{model}}"),),
    ),
    Panel(
        "Refused for want of room or time, by model",
        "Share of each model's requests, over five minutes. Above 1 % fires an alert.",
        "percentunit",
        (Query(f"max by (model) (job_model:mlapi_shed:ratio_rate5m{{{OF_MODELS}}})", "{{model}}"),),
    ),
    Panel(
        "Duration of requests that are not for bulk",
        "From the first byte of the request's head to the end of the answer.",
        "s",
        quantiles(
            "mlapi_http_request_duration_seconds",
            f'{OURS}, route=~".*([/:]predict|/hf|/classify|/infer|/invocations|/contents)"',
        ),
    ),
    Panel(
        "Duration of bulk-predict",
        "The same for bulk requests, which take as long as they are large.",
        "s",
        quantiles("mlapi_http_request_duration_seconds", f'{OURS}, route=~".*/bulk-predict"'),
    ),
    Panel(
        "Texts by source",
        "Where the answers came from: a cache tier, somebody else's computation, or the model.",
        "ops",
        (
            Query(
                f"sum by (model, source) (rate(mlapi_texts_total{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} {{source}}",
            ),
        ),
    ),
    Panel(
        "Lines of streams",
        "Lines answered per second, and those that were refused in their place.",
        "ops",
        (
            Query(
                f"sum by (model, result) (rate(mlapi_stream_lines_total{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} {{result}}",
            ),
        ),
    ),
    Panel(
        "Open streams",
        "Requests whose lines are being answered; each keeps a connection of its own.",
        "short",
        (Query(f"sum by (model) (mlapi_streams{{{OF_MODELS}}})", "{{model}}"),),
    ),
    Panel(
        "Texts by API key",
        "Texts answered per second to each key, and those that its quota refused.",
        "ops",
        (
            Query(
                f"sum by (key, result) (rate(mlapi_key_texts_total{{{OURS}}}[$__rate_interval]))",
                "{{key}} {{result}}",
            ),
        ),
    ),
    Panel(
        "API keys",
        "Keys that each process lets in; 0: everybody is. Processes that differ for long read different files.",
        "short",
        (Query(f"mlapi_keys{{{OURS}}}", "{{instance}}"),),
    ),
    Panel(
        "Refused for their API key",
        "Requests per second by reason; many unknown ones are somebody who tries out keys.",
        "reqps",
        (Query(f"sum by (reason) (rate(mlapi_key_refusals_total{{{OURS}}}[$__rate_interval]))", "{{reason}}"),),
    ),
    Panel(
        "Winning labels",
        "Share of each model's texts by their first label. A sudden change is one of the traffic, or of the model.",
        "percentunit",
        (
            Query(
                f"sum by (model, label) (rate(mlapi_predictions_total{{{OF_MODELS}}}[$__rate_interval]))"
                " / ignoring (label) group_left () "
                f"sum by (model) (rate(mlapi_predictions_total{{{OF_MODELS}}}[$__rate_interval]))",
                "{{model}} {{label}}",
            ),
        ),
    ),
)

_SATURATION: Final = (
    Panel(
        "Processor seconds per second",
        "Of each process; its event loop needs one of them.",
        "short",
        (Query(f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])", "{{instance}}"),),
    ),
    Panel(
        "Resident memory",
        "Of each process.",
        "bytes",
        (Query(f"process_resident_memory_bytes{{{OURS}}}", "{{instance}}"),),
    ),
    Panel(
        "Tokens waiting",
        "For each model, in each process. It refuses what would not make its deadline.",
        "short",
        (Query(f"mlapi_queue_tokens{{{OF_MODELS}}}", "{{model}} {{instance}}"),),
    ),
    Panel(
        "File descriptors in use",
        "Share of those that the process may open: one for each connection.",
        "percentunit",
        (Query(f"process_open_fds{{{OURS}}} / process_max_fds{{{OURS}}}", "{{instance}}"),),
    ),
    Panel(
        "Full garbage collections",
        "Collections of the oldest generation per second: each stops the event loop.",
        "ops",
        (
            Query(
                f'rate(python_gc_collections_total{{{OURS}, generation="2"}}[$__rate_interval])',
                "{{instance}}",
            ),
        ),
    ),
    Panel(
        "Age",
        "Time since each process started.",
        "s",
        (Query(f"time() - process_start_time_seconds{{{OURS}}}", "{{instance}}"),),
    ),
)

DASHBOARD: Final = Dashboard(
    "service",
    "mlapi: service",
    "Objectives, requests, errors, durations, saturation.",
    (
        Row("Now", _NUMBERS),
        Row("Objectives, 30 days", _OBJECTIVES),
        Row("Requests", _REQUESTS),
        Row("Saturation", _SATURATION),
    ),
)
