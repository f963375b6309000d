"""A body in pieces is cut into the lines that it has in one piece, and no line is kept that is too long."""

from hypothesis import given
from hypothesis import strategies as st

from mlapi.api.line_splitter import LineSplitter
from mlapi.api.lines import Line

MOST = 5


def split(pieces: list[bytes]) -> list[Line]:
    splitter = LineSplitter(MOST)
    found: list[Line] = []
    for piece in pieces:
        found += splitter.feed(piece)
        assert splitter.held <= MOST
    return [*found, *splitter.finish()]


def plain(lines: list[Line]) -> list[bytes | None]:
    return [item if isinstance(item, bytes) else None for item in lines]


@given(st.lists(st.text("ab\n", max_size=9).map(str.encode), max_size=9))
def test_where_a_body_is_cut_makes_no_difference(pieces: list[bytes]) -> None:
    lines = b"".join(pieces).split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert plain(split(pieces)) == [item if len(item) <= MOST else None for item in lines]
