"""Says whether tracing is configured, by OpenTelemetry's own environment variables."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

from mlapi.errors import ConfigurationError

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracing_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether an exporter is named and the SDK is not switched off.

    The variables are those of the OpenTelemetry specification, "SDK configuration".

    Raises:
        ConfigurationError: tracing is wanted and its packages are not installed.
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if not any(environment.get(name) for name in _ENDPOINTS):
        return False
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        msg = "an OTLP endpoint asks for tracing, whose packages are not installed: pip install 'mlapi[tracing]'"
        raise ConfigurationError(msg)
    return True
