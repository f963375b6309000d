"""With an exporter configured, a prediction continues the caller's trace."""

import httpx

from tests.e2e.trace_collector import collector
from tests.service_process import ServiceProcess, eventually

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_prediction_is_a_span_in_the_callers_trace() -> None:
    body = {"text": "This movie was fantastic!"}
    with collector() as traces:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_SERVICE_NAME": "mlapi",
        }
        with ServiceProcess(environment=environment) as service:
            answer = httpx.post(
                f"{service.url}/project/predict",
                json=body,
                headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
            )
            assert answer.status_code == httpx.codes.OK
            assert answer.headers["cache-status"].startswith("mlapi; fwd=miss")
            eventually(lambda: any(bytes.fromhex(TRACE_ID) in item for item in traces.received), "the span arrived")
    spans = b"".join(traces.received)
    assert b"/project/predict" in spans
    assert b"fantastic" not in spans


def test_a_hit_is_a_span_in_the_callers_trace_too() -> None:
    with collector() as traces:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with ServiceProcess(environment=environment, engine="fake") as service:
            for _ in range(2):
                service.predict("known")
            traced = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
            answer = httpx.post(f"{service.url}/project/predict", json={"text": "known"}, headers=traced)
            assert answer.headers["cache-status"].startswith("mlapi; hit")
            eventually(lambda: any(bytes.fromhex(TRACE_ID) in item for item in traces.received), "the span arrived")
            (batch,) = [item for item in traces.received if bytes.fromhex(TRACE_ID) in item]
    assert batch.count(bytes.fromhex(TRACE_ID)) == 1, "one span, and not a second one of the ordinary way"
    assert b"/project/predict" in batch


def test_a_span_says_head_where_that_was_asked_for() -> None:
    with collector() as traces:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        with ServiceProcess(environment=environment, engine="fake") as service:
            traced = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
            answer = httpx.head(f"{service.url}/project/model", headers=traced)
            assert (answer.status_code, answer.content) == (httpx.codes.OK, b"")
            eventually(lambda: any(bytes.fromhex(TRACE_ID) in item for item in traces.received), "the span arrived")
            (batch,) = [item for item in traces.received if bytes.fromhex(TRACE_ID) in item]
    assert b"HEAD /project/model" in batch
    assert b"GET" not in batch.partition(bytes.fromhex(TRACE_ID))[2].partition(b"url.path")[0]
