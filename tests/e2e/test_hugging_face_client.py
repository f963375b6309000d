"""`huggingface_hub`'s own client gets right answers from `/hf`, out of the cache that all wire formats share."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.service_process import ServiceProcess

huggingface_hub: Any = pytest.importorskip(
    "huggingface_hub", reason="`make test` installs it, `make test-quick` does not"
)

TEXTS = ("This movie was fantastic!", "Terrible waste of time", "It wasn't bad at all.")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process


@pytest.fixture(scope="module")
def classify(service: ServiceProcess) -> Callable[..., list[Any]]:
    client = huggingface_hub.InferenceClient(model=f"{service.url}{service.root}/hf", timeout=20)
    method: Callable[..., list[Any]] = client.text_classification
    return method


def native(service: ServiceProcess, text: str) -> tuple[list[tuple[str, float]], str]:
    """Return what `predict` says of a text, and of where the answer came from."""
    response = httpx.post(f"{service.url}{service.root}/predict", json={"text": text})
    (one,) = response.json()["predictions"]
    return [(item["label"], item["score"]) for item in one], response.headers["cache-status"]


@pytest.mark.torch  # its client is in the same set of packages
def test_its_answers_are_those_of_the_native_route(service: ServiceProcess, classify: Callable[..., list[Any]]) -> None:
    for text in TEXTS:
        found = [(item.label, item.score) for item in classify(text)]
        expected, source = native(service, text)
        assert found == expected
        assert source.startswith("mlapi; hit"), "what one wire format had computed is a hit in the other"
        (best,) = classify(text, top_k=1)
        assert (best.label, best.score) == expected[0]


@pytest.mark.torch
def test_a_text_that_predict_has_cached_is_a_hit_here(service: ServiceProcess) -> None:
    text = "cached by the native route"
    expected, source = native(service, text)
    assert "model=1" in source
    response = httpx.post(f"{service.url}{service.root}/hf", json={"inputs": text})
    assert response.headers["cache-status"].startswith("mlapi; hit;")
    assert [(item["label"], item["score"]) for item in response.json()[0]] == expected


@pytest.mark.torch
def test_a_refusal_reaches_its_caller_with_the_reason(classify: Callable[..., list[Any]]) -> None:
    with pytest.raises(huggingface_hub.errors.HfHubHTTPError, match="at least one character"):
        classify("   ")
