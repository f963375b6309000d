"""The dashboard of the cache: hit ratios by tier, collapsed texts, the breaker, latency, size, evictions."""

from typing import Final

from monitoring.dashboards.panels import OF_MODELS, OURS, THEIRS, Dashboard, Panel, Query, Row, quantiles

_TEXTS: Final = f"sum by (model) (rate(mlapi_texts_total{{{OF_MODELS}}}[$__rate_interval]))"


def _share(source: str) -> str:
    return f'sum by (model) (rate(mlapi_texts_total{{{OF_MODELS}, source=~"{source}"}}[$__rate_interval])) / {_TEXTS}'


_RATIOS: Final = (
    Panel(
        "Hit ratio",
        "Share of each model's texts that either tier knew.",
        "percentunit",
        (Query(_share("l1|l2"), "{{model}}"),),
    ),
    Panel(
        "Where answers came from",
        "Shares of each model's texts. Collapsed ones were computed for somebody else who asked at the same time.",
        "percentunit",
        tuple(Query(_share(source), f"{{{{model}}}} {source}") for source in ("l1", "l2", "collapsed", "model")),
    ),
    Panel(
        "Hit ratio of each tier, of what it was asked",
        "Of all models, which share the tiers. Only texts that the first does not know are asked of the second.",
        "percentunit",
        (
            Query(
                f'sum by (tier) (rate(mlapi_cache_operations_total{{{OURS}, operation="get", result="hit"}}'
                "[$__rate_interval])) / sum by (tier) "
                f'(rate(mlapi_cache_operations_total{{{OURS}, operation="get"}}[$__rate_interval]))',
                "{{tier}}",
            ),
        ),
    ),
)

_REDIS: Final = (
    Panel(
        "Circuit breaker",
        "0 closed: Redis is asked. 1 half-open: it is tried. 2 open: it is left alone.",
        "none",
        (Query(f"mlapi_cache_breaker_state{{{OURS}}}", "{{instance}}"),),
    ),
    Panel(
        "Circuit breaker of stores",
        "0 closed: what is computed is sent to Redis. 1 half-open: that is tried. 2 open: Redis refuses it.",
        "none",
        (Query(f"mlapi_cache_write_breaker_state{{{OURS}}}", "{{instance}}"),),
    ),
    Panel(
        "Redis nodes that are asked",
        "Of Sentinels or a cluster. 1: it is asked. 0: it is left alone because it failed. Nothing: a single Redis.",
        "none",
        (Query(f"min by (node) (mlapi_redis_node_up{{{OURS}}})", "{{node}}"),),
    ),
    Panel(
        "Changes among Redis nodes",
        "Other primaries than before: a failover, a node added or removed. Redirects: a cluster moves slots.",
        "ops",
        (
            Query(f"sum(rate(mlapi_redis_primary_changes_total{{{OURS}}}[$__rate_interval]))", "other primaries"),
            Query(
                f"sum by (kind) (rate(mlapi_redis_redirects_total{{{OURS}}}[$__rate_interval]))", "redirects, {{kind}}"
            ),
        ),
    ),
    Panel(
        "Look-ups by result",
        "Texts asked of the second tier. A refusal, an error, a timeout or a skip is a miss for the caller, never a "
        "failure.",
        "ops",
        (
            Query(
                f'sum by (result) (rate(mlapi_cache_operations_total{{{OURS}, tier="l2", operation="get"}}'
                "[$__rate_interval]))",
                "{{result}}",
            ),
        ),
    ),
    Panel(
        "Stores by result",
        "Predictions written behind the answer. Refused: Redis said no; withheld: it had said no before; dropped: the "
        "line to Redis was full; skipped: Redis does not answer look-ups either.",
        "ops",
        (
            Query(
                f'sum by (result) (rate(mlapi_cache_operations_total{{{OURS}, tier="l2", operation="set"}}'
                "[$__rate_interval]))",
                "{{result}}",
            ),
            Query(f"sum(rate(mlapi_cache_writes_dropped_total{{{OURS}}}[$__rate_interval]))", "dropped in all"),
        ),
    ),
    Panel(
        "Time of a look-up",
        "One round trip to Redis, whatever the number of texts in it. Its budget is 20 ms unless set otherwise.",
        "s",
        quantiles("mlapi_cache_operation_duration_seconds", f'{OURS}, tier="l2", operation="get"'),
    ),
    Panel(
        "Time of a store",
        "One pipelined write.",
        "s",
        quantiles("mlapi_cache_operation_duration_seconds", f'{OURS}, tier="l2", operation="set"'),
    ),
    Panel(
        "Texts in a round trip",
        "How many look-ups of concurrent requests travel together.",
        "short",
        (
            Query(
                f'sum(rate(mlapi_cache_operations_total{{{OURS}, tier="l2", operation="get", result=~"hit|miss"}}'
                "[$__rate_interval])) / "
                f'sum(rate(mlapi_cache_operation_duration_seconds_count{{{OURS}, tier="l2", operation="get"}}'
                "[$__rate_interval]))",
                "texts",
            ),
        ),
    ),
)

_SIZE: Final = (
    Panel(
        "Entries of the first tier",
        "In each process.",
        "short",
        (Query(f'mlapi_cache_entries{{{OURS}, tier="l1"}}', "{{instance}}"),),
    ),
    Panel(
        "Bytes of the first tier",
        "In each process, overhead included; `MLAPI_L1_BYTES` bounds it.",
        "bytes",
        (Query(f'mlapi_cache_bytes{{{OURS}, tier="l1"}}', "{{instance}}"),),
    ),
    Panel(
        "Memory of Redis",
        "Full is normal: it then evicts what is asked for least.",
        "bytes",
        (
            Query(f"redis_memory_used_bytes{{{THEIRS}}}", "used {{instance}}"),
            Query(f"redis_memory_max_bytes{{{THEIRS}}}", "limit {{instance}}"),
        ),
    ),
    Panel(
        "Evictions",
        "Entries per second that made room for others.",
        "ops",
        (
            Query(f'sum(rate(mlapi_cache_evictions_total{{{OURS}, tier="l1"}}[$__rate_interval]))', "first tier"),
            Query(f"sum(rate(redis_evicted_keys_total{{{THEIRS}}}[$__rate_interval]))", "Redis"),
        ),
    ),
    Panel(
        "Keys in Redis",
        "Of all models that share it: a new model digest starts with none.",
        "short",
        (Query(f"sum by (instance) (redis_db_keys{{{THEIRS}}})", "{{instance}}"),),
    ),
    Panel(
        "Clients of Redis",
        "Connections to it.",
        "short",
        (Query(f"redis_connected_clients{{{THEIRS}}}", "{{instance}}"),),
    ),
)

DASHBOARD: Final = Dashboard(
    "cache",
    "mlapi: cache",
    "Hit ratios by tier, the breaker, latency, size, evictions. Panels about Redis itself need redis_exporter.",
    (Row("Ratios", _RATIOS), Row("Redis, as the service sees it", _REDIS), Row("Size", _SIZE)),
)
