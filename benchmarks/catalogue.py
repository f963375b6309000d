"""The services that are compared: how each is started, with which settings, and how it is asked."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from benchmarks.dialects import INFERENCE_PROTOCOL, INFINITY, LISTED, PLAIN, Dialect
from benchmarks.model import Form

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "benchmarks" / "peers"
_HELLO: Final = "hello"


class Cache(StrEnum):
    """What a peer remembers."""

    NONE = "none"
    REQUESTS = "whole requests"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True)
class Peer:
    """One service. `{…}` in `command` and `environment` is filled with one of the server's places.

    Attributes:
        name: short, unique.
        title: what the report calls it.
        home: folder below `peers/`; empty for mlapi itself.
        command: how to start it, in its folder.
        dialect: how to ask it.
        environment: variables that it needs, besides `OMP_NUM_THREADS`.
        second_tier: further variables with which only its shared cache answers; None if it has no two tiers.
        keyed: further variables with which only the API keys of `{scratch}/keys.json` are let in; None if it has none.
        single: path for few texts.
        bulk: path for many.
        cache: what it remembers.
        convert: makes `{draft}`, its own form, of `{checkpoint}`; empty if it reads that as it is.
        precision: what mlapi's bundle holds; empty for the others, which read the checkpoint.
        tolerance: how far a probability may be from the fp32 reference's.
        all_labels: whether it gives all of a text's labels, or the best alone.
    """

    name: str
    title: str
    home: str
    command: tuple[str, ...]
    dialect: Dialect = PLAIN
    environment: Mapping[str, str] = field(default_factory=dict)
    second_tier: Mapping[str, str] | None = None
    keyed: Mapping[str, str] | None = None
    single: str = "/predict"
    bulk: str = "/predict"
    cache: Cache = Cache.NONE
    convert: tuple[str, ...] = ()
    precision: Form | None = None
    tolerance: float = 0.002
    all_labels: bool = True

    @property
    def slow(self) -> bool:
        """Whether it computes so much slower than mlapi that it gets fewer texts."""
        return bool(self.home) and self.home != _HELLO

    @property
    def requirements(self) -> Path | None:
        """What its own environment holds; None: it runs in ours. mlapi's has what its image has, and no more."""
        path = FOLDER / self.home / "requirements.txt" if self.home else ROOT / "requirements" / "serve.txt"
        return path if path.exists() else None


_MODEL: Final = {"MODEL": "{model}", "PORT": "{port}"}
_SERVE: Final = ("{bin}/python", "serve.py")
_TOLERANCES: Final[Mapping[Form, float]] = {"int8": 0.15, "int8-dynamic": 0.08, "bf16": 0.03, "fp32": 0.002}


def _mlapi(precision: Form) -> Peer:
    return Peer(
        name="mlapi" if precision == "int8" else f"mlapi-{precision}",
        title=f"mlapi, {precision}",
        home="",
        command=("{bin}/python", "-m", "mlapi", "serve"),
        environment={
            "MLAPI_HOST": "127.0.0.1",
            "MLAPI_PORT": "{port}",
            "MLAPI_BUNDLE": "{model}",
            "MLAPI_REDIS_URL": "{redis}",
            "MLAPI_DRAIN_S": "0",
            "MLAPI_LOG_LEVEL": "warning",
            # A bulk request of 10 000 texts may take its time, as it may with every other peer.
            "MLAPI_DEADLINE_S": "600",
        },
        second_tier={"MLAPI_L1_BYTES": "0"},
        keyed={"MLAPI_KEYS_FILE": "{scratch}/keys.json"},
        single="/project/predict",
        bulk="/project/bulk-predict",
        cache=Cache.TEXTS,
        precision=precision,
        tolerance=_TOLERANCES[precision],
    )


HELLO: Final = Peer("hello", "bare uvicorn", _HELLO, (sys.executable, "serve.py"), environment={"PORT": "{port}"})
"""A limit, not a peer."""

NAIVE: Final = Peer(
    "naive",
    "naive (FastAPI, pipeline, redis-py)",
    "naive",
    _SERVE,
    environment=_MODEL | {"REDIS_URL": "{redis}"},
    bulk="/bulk-predict",
    cache=Cache.TEXTS,
)

PEERS: Final[Mapping[str, Peer]] = {
    peer.name: peer
    for peer in (
        NAIVE,
        _mlapi("int8"),
        _mlapi("int8-dynamic"),
        _mlapi("bf16"),
        _mlapi("fp32"),
        Peer(
            "infinity",
            "infinity, ONNX (optimum)",
            "infinity",
            (
                *("{bin}/infinity_emb", "v2", "--model-id", "{model}", "--served-model-name", "classifier"),
                *("--engine", "optimum", "--device", "cpu", "--port", "{port}", "--host", "127.0.0.1"),
                *("--vector-disk-cache", "--no-model-warmup", "--log-level", "warning"),
            ),
            INFINITY,
            environment={"DO_NOT_TRACK": "1", "INFINITY_CACHE_DIR": "{scratch}", "HF_HOME": "{scratch}"},
            single="/classify",
            bulk="/classify",
            cache=Cache.TEXTS,
            convert=(
                *("{bin}/optimum-cli", "export", "onnx", "--task", "text-classification"),
                *("--model", "{checkpoint}", "{draft}"),
            ),
        ),
        Peer("litserve", "LitServe, batching", "litserve", _SERVE, environment=_MODEL),
        Peer(
            "mlserver",
            "MLServer, HuggingFace runtime",
            "mlserver",
            ("{bin}/mlserver", "start", "."),
            INFERENCE_PROTOCOL,
            environment={
                "MLSERVER_HOST": "127.0.0.1",
                "MLSERVER_HTTP_PORT": "{port}",
                "MLSERVER_GRPC_PORT": "0",
                "MLSERVER_METRICS_PORT": "0",
                "MLSERVER_CACHE_ENABLED": "true",
                "MLSERVER_CACHE_SIZE": "10000",
                "MLSERVER_MODEL_HUGGINGFACE_PRETRAINED_MODEL": "{model}",
            },
            single="/v2/models/classifier/infer",
            bulk="/v2/models/classifier/infer",
            cache=Cache.REQUESTS,
            all_labels=False,
        ),
        Peer(
            "bentoml",
            "BentoML, adaptive batching",
            "bentoml",
            ("{bin}/bentoml", "serve", "serve:Classifier", "--host", "127.0.0.1", "--port", "{port}"),
            LISTED,
            environment=_MODEL | {"BENTOML_HOME": "{scratch}", "BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer(
            "mosec",
            "mosec, dynamic batching",
            "mosec",
            (*_SERVE, "--address", "127.0.0.1", "--port", "{port}", "--timeout", "600000"),
            environment=_MODEL,
            single="/inference",
            bulk="/inference",
        ),
    )
}
