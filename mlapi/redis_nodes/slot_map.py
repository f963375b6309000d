"""Which node of a cluster serves which slot, as one node tells it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from redis.exceptions import InvalidResponse

from mlapi.redis_nodes.address import HostPort
from mlapi.redis_nodes.base import pack

SLOTS = 16_384
ASK_FOR_SLOTS = pack(b"CLUSTER", b"SLOTS")


class SlotRange(NamedTuple):
    """Consecutive slots, the last one included, and the primary that serves them."""

    first: int
    last: int
    primary: HostPort


def read_slots(reply: object, asked: HostPort) -> list[SlotRange]:
    """Read the reply to `CLUSTER SLOTS` (https://redis.io/docs/latest/commands/cluster-slots/).

    Args:
        reply: the reply.
        asked: where it comes from: a node that does not know its own name says nothing, and means this one.

    Raises:
        InvalidResponse: it is none, or names no slot.
    """
    try:
        ranges = list(_ranges(reply, asked))
    except (AttributeError, IndexError, TypeError, ValueError):
        ranges = []
    if not ranges or not all(0 <= part.first <= part.last < SLOTS for part in ranges):
        msg = "the reply to CLUSTER SLOTS names no slots"
        raise InvalidResponse(msg)
    return ranges


def _ranges(reply: Any, asked: HostPort) -> Iterator[SlotRange]:  # noqa: ANN401  whatever was replied
    for first, last, primary, *_ in reply:
        yield SlotRange(int(first), int(last), _place(primary, asked))


def _place(node: Sequence[Any], asked: HostPort) -> HostPort:
    host = (node[0] or b"").decode()
    # Unknown is written as nothing, as an empty name, or as a question mark.
    return (asked[0] if host in ("", "?") else host), int(node[1])
