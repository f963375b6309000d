"""Says whether tracing is configured, by OpenTelemetry's own variables, and traces what FastAPI does not see."""

import time
from collections.abc import Callable, Mapping
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


class Spans:
    """Records requests of one route that were answered past FastAPI, whose own instrumentation traces all others."""

    def __init__(self, route: str, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Take the route and what tells the time in nanoseconds since 1970; the packages must be installed."""
        from opentelemetry import trace  # noqa: PLC0415  an optional dependency
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._name = f"POST {route}"
        self._now_ns = now_ns
        self._tracer = trace.get_tracer("mlapi")
        self._kind = trace.SpanKind.SERVER
        self._extract = TraceContextTextMapPropagator().extract
        # https://opentelemetry.io/docs/specs/semconv/http/http-spans/
        self._attributes = {
            "http.request.method": "POST",
            "http.route": route,
            "url.path": route,
            "http.response.status_code": 200,
        }

    def record(self, traceparent: bytes, seconds: float) -> None:
        """Record a request that was answered with 200 just now, `seconds` after it came, in its caller's trace."""
        context = self._extract({"traceparent": traceparent.decode("latin-1")}) if traceparent else None
        end = self._now_ns()
        span = self._tracer.start_span(
            self._name, context, self._kind, self._attributes, start_time=end - int(seconds * 1e9)
        )
        span.end(end)
