"""What the workloads send."""

import re
from itertools import islice

from benchmarks.catalogue import PEERS
from benchmarks.workloads import Drive, Effort
from mlapi.bench.load import Target
from mlapi.bench.traffic import Traffic


def drive() -> Drive:
    return Drive(
        peer=PEERS["mlapi"],
        target=Target("127.0.0.1", 8000),
        traffic=lambda name: Traffic(("word",), name),
        known=[f"text {number}" for number in range(4)],
        effort=Effort(seconds=1, lone=1, blocks=1, slow_blocks=1),
        slow=False,
        begin=lambda: None,
    )


def test_a_proxy_gives_every_request_an_id_of_its_own_and_leaves_its_body_alone() -> None:
    plain = [request.partition(b"\r\n\r\n")[2] for request in islice(drive().known_pairs(), 4)]
    heads, bodies = zip(*(request.split(b"\r\n\r\n", 1) for request in islice(drive().proxied_pairs(), 4)), strict=True)
    assert list(bodies) == plain
    ids = [
        re.findall(rb"\r\nx-request-id: ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f-]+)", head)
        for head in heads
    ]
    assert [len(found) for found in ids] == [1] * 4
    assert len({found[0] for found in ids}) == 4
    assert all(b"\r\nx-forwarded-for: 192.0.2.1\r\n" in head for head in heads)
