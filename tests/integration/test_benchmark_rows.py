"""Every row of the benchmark can be run against the real process and takes down what it promises."""

from collections.abc import Iterator
from itertools import islice

import pytest

from benchmarks.catalogue import PEERS
from benchmarks.model import TOKENIZER
from benchmarks.rows import HELLO_ROWS, ROWS, Row
from benchmarks.workloads import KNOWN_TOKENS, Drive, Effort
from mlapi.bench.load import Target
from mlapi.bench.traffic import Traffic, read_words
from tests.service_process import HOST, ServiceProcess

LITTLE = Effort(seconds=0.1, lone=2, blocks=0.1, slow_blocks=0.1, known=20, foreground=3, bulk=50)


@pytest.fixture(scope="module")
def drive() -> Iterator[Drive]:
    words = read_words(TOKENIZER)
    known = list(islice(Traffic(words, "known").texts(KNOWN_TOKENS), LITTLE.known))
    with ServiceProcess(engine="fake", deadline_s="60") as service:
        service.predict(known)
        yield Drive(
            peer=PEERS["mlapi"],
            target=Target(HOST, service.port),
            traffic=lambda name: Traffic(words, name),
            known=known,
            effort=LITTLE,
            slow=False,
            begin=lambda: None,
        )


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
async def test_a_row_is_answered_in_full(row: Row, drive: Drive) -> None:
    measures = await row.run(drive)
    assert measures["failed"] == 0
    assert measures["answered"] > 0
    assert 0 < measures["p50_ms"] <= measures["p99_ms"]
    assert measures["texts_per_s"] >= measures["requests_per_s"] > 0


def test_bodies_repeat_only_where_the_row_says_so(drive: Drive) -> None:
    assert len(set(islice(drive.known_pairs(), 100))) == LITTLE.known // 2
    assert len(set(islice(drive.same_bulks(), 100))) == 1
    assert len(set(islice(drive.fresh_bulks(), 100))) == 100
    pairs = list(islice(drive.fresh_pairs(), 1000))
    assert len(set(pairs)) > 300  # of the 380 that 20 texts have


def test_rows_have_names_of_their_own() -> None:
    rows = [*HELLO_ROWS, *ROWS.values()]
    assert len({row.name for row in rows}) == len({row.title for row in rows}) == len(rows)
