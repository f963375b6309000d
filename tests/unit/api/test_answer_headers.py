"""The headers of an answer are the same whichever way writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlapi.api.answer_headers import answer_headers, known_head
from mlapi.predictions import SourceCounts

VALUES = ("length", "l1", "l2", "milliseconds", "digest", "truncated", "request_id")
COUNTS = st.integers(0, 10**9)


@given(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS), st.floats(0, 1e4), st.binary(max_size=40))
def test_what_is_filled_in_for_a_hit_is_what_is_written_for_it(
    counts: tuple[int, int, int, int], seconds: float, value: bytes
) -> None:
    length, l1, l2, truncated = counts
    headers = answer_headers(
        length=length,
        counts=SourceCounts(l1, l2),
        stored=False,
        seconds=seconds,
        queue_s=0.0,
        model_s=0.0,
        digest=b"d" + value,
        truncated=truncated,
        request_id=b"i" + value,
    )
    head = known_head(VALUES)
    line = head.lines["truncated"] % truncated if truncated else b""
    filled = head.format % (length, l1, l2, seconds * 1e3, b"d" + value, line, b"i" + value)
    assert filled == b"".join([b"%b: %b\r\n" % header for header in headers]) + b"\r\n"


@pytest.mark.parametrize("values", [VALUES[:-1], (*VALUES, "windows"), ("l1", "length", *VALUES[2:])])
def test_who_has_other_values_is_told_so_at_once(values: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="the headers of an answer take length, l1, l2, milliseconds, digest"):
        known_head(values)
