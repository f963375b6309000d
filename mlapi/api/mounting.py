"""Makes the routes of all models out of the wire formats: below each model's root, and at the root of the process."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from starlette.types import ASGIApp

from mlapi.access.gate import Gate
from mlapi.api.bulk_route import BulkRoute
from mlapi.api.documents import DocumentRoute
from mlapi.api.explain_route import explain_route
from mlapi.api.route import PredictionRoute, RouteParts
from mlapi.api.served_model import ServedModel
from mlapi.api.text_request import TextRoute
from mlapi.api.tokenize_route import tokenize_route
from mlapi.api.websocket_route import WebSocketRoute
from mlapi.cache.hot_texts import HotTexts
from mlapi.dialects.base import ModelFacts, WireFormat

MODEL: str = "{model}"
"""What stands for a model's name in a path."""


class Page(NamedTuple):
    """Something for people with a browser: what serves it, and by which methods."""

    asgi: ASGIApp
    methods: tuple[str, ...] = ("GET",)


class Mount(NamedTuple):
    """The routes below one root, by the rest of their paths.

    Attributes:
        root: what their paths begin with; empty: the root of the process.
        predictions: the prediction routes.
        documents: what is answered to a GET.
        served: the model, below a model's root; at the root of the process the first.
        texts: other routes that take texts.
        stream: answers lines over WebSocket; None at the root of the process.
        feedback: takes opinions on its answers; None where that is another process's business.
        hot_texts: samples what is asked for most; None where nothing is sampled.
        pages: what needs no API key, because browsers load it before anybody can give one; it holds nothing secret.
    """

    root: str
    predictions: Mapping[str, PredictionRoute]
    documents: Mapping[str, DocumentRoute]
    served: ServedModel
    texts: Mapping[str, TextRoute]
    stream: WebSocketRoute | None = None
    feedback: ASGIApp | None = None
    hot_texts: HotTexts | None = None
    pages: Mapping[str, Page] = MappingProxyType({})


STREAM: Final = "stream"

_TEXT_ROUTES: Final = {"tokenize": tokenize_route, "explain": explain_route}

MakeParts = Callable[[ServedModel, str, Sequence[ServedModel]], RouteParts]
"""Makes the parts of a route: of its model, its path, and the other models that a body may name."""


def mount_models(
    formats: Sequence[WireFormat],
    served: Sequence[ServedModel],
    make_parts: MakeParts,
    facts: Callable[[ServedModel], ModelFacts],
    gate: Gate | None,
) -> list[Mount]:
    """Return the routes below each model's root, in the order of the models."""
    mounts = []
    for model in served:
        predictions = {
            path.replace(MODEL, model.name): (BulkRoute if item.streams == path else PredictionRoute)(
                dialect, make_parts(model, f"{model.root}/{path.replace(MODEL, model.name)}", ())
            )
            for item in formats
            if item.below_models
            for path, dialect in item.predictions.items()
        }
        documents = {
            path.replace(MODEL, model.name): DocumentRoute(document, (model,), facts, gate)
            for item in formats
            if item.below_models
            for path, document in item.documents.items()
        }
        texts = {name: make(make_parts(model, f"{model.root}/{name}", ())) for name, make in _TEXT_ROUTES.items()}
        stream = WebSocketRoute(predictions["bulk-predict"].dialect, make_parts(model, f"{model.root}/{STREAM}", ()))
        mounts.append(Mount(model.root, predictions, documents, model, texts, stream))
    return mounts


def mount_process(
    formats: Sequence[WireFormat],
    served: Sequence[ServedModel],
    make_parts: MakeParts,
    facts: Callable[[ServedModel], ModelFacts],
    gate: Gate | None,
) -> Mount:
    """Return the routes at the root of the process: without a model in their paths, they are the first model's."""
    predictions: dict[str, PredictionRoute] = {}
    documents: dict[str, DocumentRoute] = {}
    for item in formats:
        if not item.at_root:
            continue
        for path, dialect in item.predictions.items():
            for model in served if MODEL in path else served[:1]:
                named = path.replace(MODEL, model.name)
                others = () if MODEL in path else served[1:]
                predictions[named] = PredictionRoute(dialect, make_parts(model, f"/{named}", others))
        for path, document in item.documents.items():
            for model in served if MODEL in path else served[:1]:
                told = (model,) if MODEL in path else served
                documents[path.replace(MODEL, model.name)] = DocumentRoute(document, told, facts, gate)
    return Mount("", predictions, documents, served[0], {})
