"""What alerts count is shown as 0 before it happens: to a rate, a series that begins with a failure has not risen."""

import time

from prometheus_client import generate_latest

from mlapi.api.accounting import Accounting
from mlapi.batching.admission import Admission
from mlapi.errors import MlapiError
from mlapi.observability.metrics import Metrics, ModelMetrics


def statuses(root: type[MlapiError] = MlapiError) -> set[int]:
    return {int(root.status)}.union(*map(statuses, root.__subclasses__()))


def test_failures_and_refusals_are_shown_before_the_first() -> None:
    metrics = Metrics()
    of_model = ModelMetrics(metrics, "project")
    Accounting(of_model, "/project/predict")
    Admission(max_waiting_tokens=1, rate=1.0, clock=time.monotonic, metrics=of_model)
    shown = generate_latest(metrics.registry).decode().splitlines()
    failures = {status for status in statuses() if status >= 500}
    assert {500, 503, 504} <= failures
    for status in failures:
        assert f'mlapi_http_requests_total{{method="POST",route="/project/predict",status="{status}"}} 0.0' in shown
    for reason in ("deadline", "queue_full"):
        assert f'mlapi_shed_total{{model="project",reason="{reason}"}} 0.0' in shown
