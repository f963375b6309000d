"""The service's settings: `MLAPI_*` environment variables, read once, checked and frozen."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mlapi.errors import ConfigurationError

PREFIX: Final = "MLAPI_"

_MODELS: Final = Path(__file__).resolve().parent.parent / "models"

DEFAULT_BUNDLE: Final = _MODELS / "distilbert-minilm-sst2"

LAB_BUNDLE: Final = _MODELS / "tfidf-logreg-sst2"
"""The small model that ships with the source, too."""

_SERVICE_LINK: Final = re.compile(r"MLAPI_\w+?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What Kubernetes sets for a Service named `mlapi-…` in the pods of its namespace; nobody chose those names."""

_MIB: Final = 1024 * 1024


def _check_root_path(value: str) -> str:
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        msg = "must be empty or like /project, without a slash at the end"
        raise ValueError(msg)
    return value


def _check_redis_url(value: str) -> str:
    msg = "must be empty, or a URL like redis://user:password@host:6379/0, or rediss:// for TLS"
    if value and not value.startswith(("redis://", "rediss://")):
        raise ValueError(msg)
    try:
        urlsplit(value).port  # noqa: B018  reading it is what checks it
    except ValueError:
        # What the parser says may quote a part of the password.
        raise ValueError(msg) from None
    return value


def _check_level(value: str) -> str:
    levels = ("debug", "info", "warning", "error", "critical")
    if value.lower() not in levels:
        msg = f"must be one of {', '.join(levels)}"
        raise ValueError(msg)
    return value.lower()


class Settings(BaseModel):
    """All settings; each field is the environment variable `MLAPI_<NAME>`, all optional."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field("0.0.0.0", description="Address to listen on.")  # noqa: S104  a container's only sensible default
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    root_path: Annotated[str, AfterValidator(_check_root_path)] = Field(
        "/project", description="Path in front of the public routes."
    )
    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the model bundle.")
    engine: str = Field("", description="Engine to run the bundle with; empty: the one that it was made for.")
    threads: int = Field(0, ge=0, le=1024, description="Threads for inference; 0: the processors this process may use.")
    redis_url: Annotated[str, AfterValidator(_check_redis_url)] = Field(
        "", description="Redis for the shared cache tier, redis:// or rediss://; empty: the in-process tier only."
    )
    redis_timeout_ms: int = Field(20, ge=1, le=10_000, description="Time budget of one Redis operation, milliseconds.")
    cache: Literal["", "both", "l1", "none"] = Field(
        "", description="Cache tiers in use: both, l1 (in-process), none; empty: those that the bundle asks for."
    )
    cache_ttl_s: int = Field(86_400, ge=1, le=31_536_000, description="How long an entry lives, seconds.")
    l1_bytes: int = Field(64 * _MIB, ge=0, description="Size of the in-process tier, bytes; 0: none.")
    max_texts: int = Field(10_000, ge=1, le=1_000_000, description="Texts in one request.")
    max_text_chars: int = Field(20_000, ge=1, description="Characters in one text.")
    max_body_bytes: int = Field(8 * _MIB, ge=64, description="Bytes in one request body.")
    max_batch_tokens: int = Field(
        0, ge=0, le=1_048_576, description="Padded tokens in one call of the engine; 0: as the engine likes it."
    )
    max_waiting_tokens: int = Field(262_144, ge=1, description="Padded tokens that may wait for the engine.")
    deadline_s: float = Field(10.0, gt=0, le=3_600, description="Time budget of one request, seconds.")
    drain_s: float = Field(5.0, ge=0, le=3_600, description="Time between readiness off and closing, seconds.")
    log_level: Annotated[str, AfterValidator(_check_level)] = Field("info", description="Least severe level logged.")
    allow_no_cache: bool = Field(
        default=False, description="Whether a request's `Cache-Control: no-cache` may bypass the cache."
    )
    client_texts_per_s: float = Field(0.0, ge=0, description="Texts per second that one client may send; 0: no limit.")
    client_header: str = Field(
        "", description="Header that names the client for the limit, such as x-forwarded-for; empty: the peer address."
    )


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment (by default the process's own).

    Raises:
        ConfigurationError: an unknown `MLAPI_*` name, or a value that is malformed or out of bounds; names them all.
    """
    environment = os.environ if environment is None else environment
    known = {f"{PREFIX}{name.upper()}": name for name in Settings.model_fields}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    unknown = [name for name in given if name not in known and not _SERVICE_LINK.fullmatch(name)]
    problems = [_unknown(name, known) for name in sorted(unknown)]
    values = {known[name]: value for name, value in given.items() if name in known}
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for item in error.errors():
            field = str(item["loc"][0])
            name = f"{PREFIX}{field.upper()}"
            # A URL may hold a password, and this goes to a log.
            shown = name if field == "redis_url" else f"{name}={given[name]!r}"
            problems.append(f"{shown}: {item['msg']}{_hint(given[name])}")
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def _unknown(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {close[0]}?" if close else "")


def _hint(value: str) -> str:
    if value.startswith("tcp://"):
        return " (Kubernetes sets this for a Service named mlapi: set enableServiceLinks: false in the pod)"
    return ""
