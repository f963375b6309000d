"""The reply to CLUSTER SLOTS, by versions old and new, and what is no such reply."""

import pytest
from redis.exceptions import InvalidResponse

from mlapi.redis_nodes.slot_map import SlotRange, read_slots

ASKED = ("asked", 7000)


@pytest.mark.parametrize(
    ("node", "primary"),
    [
        ([b"10.0.0.1", 7001], ("10.0.0.1", 7001)),
        ([b"10.0.0.1", 7001, b"id"], ("10.0.0.1", 7001)),
        ([b"node.example", 7001, b"id", [b"ip", b"10.0.0.1"]], ("node.example", 7001)),
        ([None, 7001, b"id", []], ("asked", 7001)),
        ([b"", 7001, b"id"], ("asked", 7001)),
        ([b"?", 7001, b"id", []], ("asked", 7001)),
    ],
)
def test_the_primary_of_a_range_is_its_first_node(node: list[object], primary: tuple[str, int]) -> None:
    assert read_slots([[0, 5, node, [b"replica", 1]], [7, 16_383, node]], ASKED) == [
        SlotRange(0, 5, primary),
        SlotRange(7, 16_383, primary),
    ]


@pytest.mark.parametrize(
    "reply",
    [None, b"OK", 1, [], [1], [[0, 5]], [[0, 5, []]], [[0, 16_384, [b"a", 1]]], [[5, 0, [b"a", 1]]], [[0, b"x", 1]]],
)
def test_anything_else_is_no_map(reply: object) -> None:
    with pytest.raises(InvalidResponse, match="names no slots"):
        read_slots(reply, ASKED)
