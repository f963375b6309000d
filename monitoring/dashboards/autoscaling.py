"""The dashboard of autoscaling: pods, processors, memory, the scaler's targets against what it measured."""

from typing import Final

from monitoring.dashboards.panels import CONTAINER, OURS, PREDICTIONS, THEIRS, Dashboard, Panel, Query, Row

_HPA: Final = f'{THEIRS}, horizontalpodautoscaler=~".*mlapi.*"'
_RUNNING: Final = f"count(mlapi_ready{{{OURS}}} == 1)"

_PODS: Final = (
    Panel(
        "Pods",
        "Ready ones, those that the autoscaler wants, and its bounds.",
        "short",
        (
            Query(f"sum(mlapi_ready{{{OURS}}})", "ready"),
            Query(f"sum(kube_horizontalpodautoscaler_status_desired_replicas{{{_HPA}}})", "wanted"),
            Query(f"sum(kube_horizontalpodautoscaler_spec_min_replicas{{{_HPA}}})", "minimum"),
            Query(f"sum(kube_horizontalpodautoscaler_spec_max_replicas{{{_HPA}}})", "maximum"),
        ),
        columns=12,
    ),
    Panel(
        "Deployment",
        "Replicas asked for, available, and of the newest revision.",
        "short",
        (
            Query(f'kube_deployment_spec_replicas{{{THEIRS}, deployment="mlapi"}}', "asked for"),
            Query(f'kube_deployment_status_replicas_available{{{THEIRS}, deployment="mlapi"}}', "available"),
            Query(f'kube_deployment_status_replicas_updated{{{THEIRS}, deployment="mlapi"}}', "newest"),
        ),
        columns=12,
    ),
)

_TARGETS: Final = (
    Panel(
        "Target",
        "What the autoscaler holds each metric at.",
        "short",
        (
            Query(
                f"kube_horizontalpodautoscaler_spec_target_metric{{{_HPA}}}",
                "{{horizontalpodautoscaler}} {{metric_name}} {{metric_target_type}}",
            ),
        ),
    ),
    Panel(
        "Value",
        "What it measured. Above the target it adds pods.",
        "short",
        (
            Query(
                f"kube_horizontalpodautoscaler_status_target_metric{{{_HPA}}}",
                "{{horizontalpodautoscaler}} {{metric_name}} {{metric_target_type}}",
            ),
        ),
    ),
    Panel(
        "Uncached compute of a pod",
        "Inference seconds per second, and tokens waiting, of all models by ready pod: the signals of autoscaling by "
        "compute.",
        "short",
        (
            Query(f"sum(job:mlapi_inference_seconds:rate1m{{{OURS}}}) / {_RUNNING}", "inference seconds"),
            Query(f"sum(job:mlapi_queue_tokens:sum{{{OURS}}}) / {_RUNNING}", "tokens waiting"),
        ),
    ),
)

_RESOURCES: Final = (
    Panel(
        "Processor, of what was requested",
        "The share that the autoscaler by CPU looks at.",
        "percentunit",
        (
            Query(
                f"sum by (pod) (rate(container_cpu_usage_seconds_total{{{CONTAINER}}}[$__rate_interval])) / "
                f'sum by (pod) (kube_pod_container_resource_requests{{{CONTAINER}, resource="cpu"}})',
                "{{pod}}",
            ),
        ),
    ),
    Panel(
        "Throttling",
        "Share of the scheduler's periods in which a pod wanted more than its limit.",
        "percentunit",
        (
            Query(
                f"sum by (pod) (rate(container_cpu_cfs_throttled_periods_total{{{CONTAINER}}}[$__rate_interval])) / "
                f"sum by (pod) (rate(container_cpu_cfs_periods_total{{{CONTAINER}}}[$__rate_interval]))",
                "{{pod}}",
            ),
        ),
    ),
    Panel(
        "Memory, of the limit",
        "At 1 the kernel kills the container.",
        "percentunit",
        (
            Query(
                f"max by (pod) (container_memory_working_set_bytes{{{CONTAINER}}}) / "
                f'max by (pod) (kube_pod_container_resource_limits{{{CONTAINER}, resource="memory"}})',
                "{{pod}}",
            ),
        ),
    ),
    Panel(
        "Restarts",
        "Of the container, in an hour.",
        "short",
        (Query(f"increase(kube_pod_container_status_restarts_total{{{CONTAINER}}}[1h])", "{{pod}}"),),
        columns=12,
    ),
    Panel(
        "Requests of a pod",
        "Whether the load is spread evenly.",
        "reqps",
        (
            Query(
                f"sum by (instance) (rate(mlapi_http_requests_total{{{OURS}, {PREDICTIONS}}}[$__rate_interval]))",
                "{{instance}}",
            ),
        ),
        columns=12,
    ),
)

DASHBOARD: Final = Dashboard(
    "autoscaling",
    "mlapi: autoscaling",
    "Pods, processors, memory, targets. It needs kube-state-metrics and the kubelet's container metrics.",
    (Row("Pods", _PODS), Row("What the autoscaler sees", _TARGETS), Row("Resources", _RESOURCES)),
)
