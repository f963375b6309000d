"""The service's settings: `MLAPI_*` environment variables, read once, checked and frozen."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mlapi.errors import ConfigurationError
from mlapi.redis_nodes.access import ACCESS, contradictions
from mlapi.redis_nodes.address import RedisFiles, RedisTarget, read_address

PREFIX: Final = "MLAPI_"

_MODELS: Final = Path(__file__).resolve().parent.parent / "models"

DEFAULT_BUNDLE: Final = _MODELS / "distilbert-minilm-sst2"

LAB_BUNDLE: Final = _MODELS / "tfidf-logreg-sst2"
"""The small model that ships with the source, too."""

_SERVICE_LINK: Final = re.compile(r"MLAPI_\w+?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""What Kubernetes sets for a Service named `mlapi-…` in the pods of its namespace; nobody chose those names."""

_RESERVED: Final = frozenset(
    {
        *("livez", "readyz", "startupz", "metrics", "learn"),
        *("v1", "v2", "api", "classify", "endpoints", "invocations", "ping"),
    }
)
"""First parts of paths that are, or will be, the process's own."""

_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

_MIB: Final = 1024 * 1024


_DOTS: Final = frozenset({".", ".."})
"""Parts that clients take out of a path before they send it (RFC 3986, section 5.2.4)."""


def _check_root_path(value: str) -> str:
    if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
        msg = "must be empty or like /project, without a slash at the end"
        raise ValueError(msg)
    parts = value.split("/")[1:]
    if parts and parts[0] in _RESERVED:
        msg = f"the path /{parts[0]} is taken"
        raise ValueError(msg)
    if not _DOTS.isdisjoint(parts):
        msg = "clients take the parts . and .. out of a path"
        raise ValueError(msg)
    return value


def _check_redis_url(value: str) -> str:
    if value:
        read_address(value)
    return value


_SQLITE: Final = "sqlite:///"


def _check_feedback_url(value: str) -> str:
    msg = "must be empty, a file like sqlite:///data/feedback.db, or like postgresql://user:password@host:5432/name"
    if not value:
        return value
    if value.startswith(_SQLITE):
        if not value.removeprefix(_SQLITE) or value.endswith("/"):
            raise ValueError(msg)
    elif not value.startswith(("postgresql://", "postgres://")):
        raise ValueError(msg)
    elif "," not in value:  # between commas stand the servers of a cluster, each with a port
        try:
            urlsplit(value).port  # noqa: B018  reading it is what checks it
        except ValueError:
            raise ValueError(msg) from None
    return value


_SECRET: Final = frozenset({"redis_url", "feedback_url"})
"""Settings whose value is not shown: a URL may hold a password, and messages go to a log."""


def _path(value: str) -> Path | None:
    return Path(value) if value else None


class ModelSetting(NamedTuple):
    """One model to serve: what its paths begin with, and the folder of its bundle."""

    root: str
    bundle: Path

    @property
    def name(self) -> str:
        """The name that it has in metrics."""
        return self.root.strip("/") or "model"


def _read_models(value: object) -> object:
    if not isinstance(value, str):
        return value
    models: dict[str, ModelSetting] = {}
    for item in value.split():
        name, separator, folder = item.partition("=")
        if not (separator and folder and re.fullmatch(r"[A-Za-z0-9._~-]+", name)):
            msg = f"{item!r} is not like project=models/mine"
            raise ValueError(msg)
        plain = re.sub(r"\W", "_", name)
        if plain in models:
            msg = f"two models are named {name}"
            if (other := models[plain].name) != name:
                msg = f"{other} and {name} differ only in what generated clients leave out of names"
            raise ValueError(msg)
        models[plain] = ModelSetting(f"/{name}", Path(folder))
        try:
            _check_root_path(models[plain].root)
        except ValueError as error:
            msg = f"a model cannot be named {name}: {error}"
            raise ValueError(msg) from None
    return tuple(models.values())


def _split(value: object) -> object:
    return tuple(filter(None, re.split(r"[,\s]+", value))) if isinstance(value, str) else value


def _check_origin(value: str) -> str:
    parts = re.fullmatch(r"([a-z][a-z0-9+.-]*)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?", value)
    if value != "*" and parts is None:
        msg = "must be origins as browsers send them, such as https://app.example.com, between commas, or *"
        raise ValueError(msg)
    if parts and parts[3] and _DEFAULT_PORTS.get(parts[1]) == parts[3]:
        msg = f"browsers leave out the port {parts[3]} of {parts[1]}"
        raise ValueError(msg)
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

    host: str = Field(
        "::",
        description="Address to listen on; `::`: every address, of IPv6 and of IPv4; of IPv4 alone where the kernel "
        "has no IPv6.",
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    models: Annotated[tuple[ModelSetting, ...], BeforeValidator(_read_models)] = Field(
        (),
        description="Models to serve, as `NAME=FOLDER` with spaces between them, each below `/NAME`; empty: the one of "
        "`MLAPI_BUNDLE` and `MLAPI_ROOT_PATH`, and if neither is set, those that are shipped.",
    )
    root_path: Annotated[str, AfterValidator(_check_root_path)] = Field(
        "/project", description="Path in front of the public routes, of a single model."
    )
    bundle: Path = Field(DEFAULT_BUNDLE, description="Folder of the model bundle, of a single model.")
    engine: str = Field(
        "", description="Engine to run a single model's bundle with; empty: the one that it was made for."
    )
    threads: int = Field(0, ge=0, le=1024, description="Threads for inference; 0: the processors this process may use.")
    redis_url: Annotated[str, AfterValidator(_check_redis_url)] = Field(
        "",
        description="Redis for the shared cache tier: `redis://user:password@host:6379/0`, of Sentinels "
        "`redis+sentinel://…@host1,host2/primary/0`, of a cluster `redis+cluster://…@host1,host2`, each with `rediss` "
        "for TLS; empty: the in-process tier only.",
    )
    redis_password_file: str = Field(
        "",
        description="File with the password for Redis, instead of one in the URL; read at each new connection, as the "
        "files of certificates are, so that a new content needs no restart.",
    )
    redis_ca_file: str = Field(
        "", description="File of the certificates that sign those of Redis; empty: those that the system trusts."
    )
    redis_cert_file: str = Field(
        "", description="File of our own certificate, for a Redis that asks for one; empty: none."
    )
    redis_key_file: str = Field(
        "", description="File of the private key of that certificate; empty: it is in the same file."
    )
    redis_sentinel_user: str = Field("", description="User at the Sentinels; empty: their default user.")
    redis_sentinel_password_file: str = Field(
        "", description="File with the password for the Sentinels; empty: they ask for none."
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
    max_head_bytes: int = Field(
        64 * 1024, ge=8 * 1024, le=_MIB, description="Bytes in one request head, its headers included."
    )
    head_timeout_s: float = Field(10.0, gt=0, le=3_600, description="Time for one request head to arrive, seconds.")
    keep_alive_s: float = Field(
        75.0,
        gt=0,
        le=86_400,
        description="How long a connection may be idle, seconds; longer than the load balancer keeps one.",
    )
    max_connections: int = Field(
        4096, ge=1, le=1_000_000, description="Open connections; fewer where the process may open fewer files."
    )
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
    keys_file: str = Field(
        "",
        description="File of the API keys that are let in, read anew when it changes; empty: everybody is let in.",
    )
    hot_texts_bytes: int = Field(
        0,
        ge=0,
        description="Size of the sample of hot texts of each model, bytes, which keys with the scope `admin` may read "
        "to warm a new version; 0: none is kept. Needs `MLAPI_KEYS_FILE`.",
    )
    client_texts_per_s: float = Field(0.0, ge=0, description="Texts per second that one client may send; 0: no limit.")
    client_header: str = Field(
        "",
        description="Header that names the client for the limit, such as x-forwarded-for; empty: the peer address. Not "
        "read with API keys: there the key names it.",
    )
    feedback_url: Annotated[str, AfterValidator(_check_feedback_url)] = Field(
        "",
        description="Where opinions are kept, `sqlite:///FILE` on a disk of this machine or `postgresql://…`; empty: "
        "this process takes none.",
    )
    feedback_key_file: str = Field(
        "",
        description="File with the secret that signs the ids of answers, for all processes of a deployment; empty: "
        "beside the file of SQLite, made when it is missing, or no signed ids.",
    )
    feedback_ask_share: float = Field(
        0.01, ge=0, le=1, description="Share of texts, and of answers, for which an opinion is asked at random."
    )
    feedback_text_days: float = Field(
        180.0, gt=0, le=3_650, description="How long a text that was given with consent is kept, days."
    )
    feedback_votes_per_minute: float = Field(
        60.0, ge=0, le=1_000_000, description="Opinions a minute that one subject may send; 0: no limit."
    )
    learn_file: str = Field(
        "", description="File that says how the learning loop works (docs/learning.md); empty: there is no loop."
    )
    cors_origins: Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_split)] = Field(
        (),
        description="Origins whose web pages may read the answers, such as https://app.example.com, between commas; "
        "`*`: all; empty: none.",
    )

    pages: bool = Field(
        default=True,
        description="Whether browsers get a page to try each model, at its root, and one for the API documentation, at "
        "`docs`; with API keys these need none, and what they ask for does.",
    )

    @model_validator(mode="after")
    def _check_one_way_of_naming_models(self) -> Self:
        if self.models and (single := self.model_fields_set & {"bundle", "root_path", "engine"}):
            names = ", ".join(f"{PREFIX}{name.upper()}" for name in sorted(single))
            msg = f"MLAPI_MODELS says which models are served and where; {names} cannot be given with it"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_hot_texts_are_guarded(self) -> Self:
        if self.hot_texts_bytes and not self.keys_file:
            msg = "MLAPI_HOT_TEXTS_BYTES needs MLAPI_KEYS_FILE: texts are shown to keys with the scope admin only"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _check_redis(self) -> Self:
        given = {name for name in ACCESS if getattr(self, name)}
        if not self.redis_url:
            # Cleared is a way of doing without Redis, while everything else stays as it is.
            return self
        address = read_address(self.redis_url)
        problems = list(contradictions(address, given))
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def redis_target(self) -> RedisTarget | None:
        """The Redis to use, and what lets us in; None if there is none to be."""
        if not self.redis_url:
            return None
        files = RedisFiles(
            password=_path(self.redis_password_file),
            authority=_path(self.redis_ca_file),
            certificate=_path(self.redis_cert_file),
            key=_path(self.redis_key_file),
            sentinel_password=_path(self.redis_sentinel_password_file),
        )
        return RedisTarget(read_address(self.redis_url), files, self.redis_sentinel_user)

    @property
    def feedback_file(self) -> Path | None:
        """The file of SQLite, if that is where opinions are kept."""
        return Path(self.feedback_url.removeprefix(_SQLITE)) if self.feedback_url.startswith(_SQLITE) else None

    @property
    def served(self) -> tuple[ModelSetting, ...]:
        """The models to serve; the first is the one that routes without a model's name mean."""
        if self.models:
            return self.models
        first = ModelSetting(self.root_path, self.bundle)
        if self.model_fields_set & {"bundle", "root_path", "engine"} or not LAB_BUNDLE.is_dir():
            return (first,)
        return (first, ModelSetting("/lab", LAB_BUNDLE))


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
            if not item["loc"]:
                problems.append(item["msg"])
                continue
            field = str(item["loc"][0])
            name = f"{PREFIX}{field.upper()}"
            shown = name if field in _SECRET else f"{name}={given[name]!r}"
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
