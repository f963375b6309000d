"""The limit is the container's where it has one, else the machine's memory."""

from pathlib import Path

import pytest

from mlapi.machine.memory_limit import memory_limit

MACHINE = 8_000_000_000
V2 = "memory.max"
V1 = "memory/memory.limit_in_bytes"


def cgroup(folder: Path, files: dict[str, bytes]) -> Path:
    (folder / "memory").mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({V2: b"536870912\n"}, 536_870_912),
        ({V2: b"max\n"}, MACHINE),
        ({V2: b"16000000000\n"}, MACHINE),
        ({V1: b"268435456\n"}, 268_435_456),
        ({V1: b"9223372036854771712\n"}, MACHINE),
        ({V2: b"max\n", V1: b"268435456\n"}, 268_435_456),
        ({V2: b"", V1: b"-1\n"}, MACHINE),
        ({V2: b"\xff\n"}, MACHINE),
        ({V2: "\u0663".encode()}, MACHINE),
        ({V2: b"0\n"}, MACHINE),
        ({}, MACHINE),
    ],
)
def test_the_smallest_limit_that_can_be_read_counts(tmp_path: Path, files: dict[str, bytes], expected: int) -> None:
    assert memory_limit(cgroup(tmp_path, files), MACHINE) == expected


def test_a_folder_that_is_none_sets_no_limit(tmp_path: Path) -> None:
    assert memory_limit(tmp_path / "nowhere", MACHINE) == MACHINE


def test_this_machine_has_one() -> None:
    assert memory_limit() > 64 * 1024 * 1024
