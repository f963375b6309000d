"""Says whether tracing is configured, by OpenTelemetry's own environment variables."""

from collections.abc import Mapping
from typing import Final

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracing_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether an exporter is named and the SDK is not switched off.

    The variables are those of the OpenTelemetry specification, "SDK configuration".
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(environment.get(name) for name in _ENDPOINTS)
