"""Tracing is off unless OpenTelemetry's own variables ask for it."""

import pytest

from mlapi.errors import ConfigurationError
from mlapi.observability import tracing
from mlapi.observability.tracing import tracing_wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_SERVICE_NAME": "mlapi"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_an_endpoint_turns_it_on(environment: dict[str, str], wanted: bool) -> None:  # noqa: FBT001
    assert tracing_wanted(environment) is wanted


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"mlapi\[tracing\]"):
        tracing_wanted(ENDPOINT)
    assert not tracing_wanted({})
