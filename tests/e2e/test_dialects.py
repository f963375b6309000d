"""Every wire format gives the same scores for the same texts, out of one cache."""

from collections.abc import Iterator
from itertools import product

import pytest

from tests.e2e.dialects import DIALECTS, Scores
from tests.service_process import ServiceProcess

TEXTS = (
    "This movie was fantastic!",
    "Terrible waste of time",
    "It wasn't bad at all.",
    'Quotation "marks", commas, and a\nsecond line',
    "Ein großartiger Film 🎬 \u0000",
)

ALL_PATHS = [(name, place) for name, dialect in DIALECTS.items() for place in range(len(dialect.paths))]
ROOTS = ("/project", "/lab")


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with ServiceProcess() as process:
        yield process
        assert process.complaints == []


def native(service: ServiceProcess, root: str) -> list[Scores]:
    return DIALECTS["native"].read(DIALECTS["native"].ask(service.client, TEXTS, root=root))


@pytest.mark.parametrize(("name", "place"), ALL_PATHS)
@pytest.mark.parametrize("root", ROOTS)
def test_the_same_texts_have_the_same_scores(service: ServiceProcess, root: str, name: str, place: int) -> None:
    dialect = DIALECTS[name]
    named = "{root}" in dialect.paths[place] or "{name}" in dialect.paths[place]
    response = dialect.ask(service.client, TEXTS, path=place, root=root)
    assert response.status_code == 200, response.text
    expected = native(service, root if named else ROOTS[0])
    if dialect.best_only:
        expected = [dict([max(one.items(), key=lambda item: item[1])]) for one in expected]
    assert dialect.read(response) == expected


@pytest.mark.parametrize(("first", "second"), list(product(DIALECTS, repeat=2)))
def test_a_text_that_one_has_computed_is_a_hit_in_every_other(service: ServiceProcess, first: str, second: str) -> None:
    text = [f"asked by {first}, then by {second}"]
    computed = DIALECTS[first].ask(service.client, text)
    assert "model=1" in computed.headers["cache-status"], computed.text
    assert DIALECTS[second].ask(service.client, text).headers["cache-status"].startswith("mlapi; hit; ")
