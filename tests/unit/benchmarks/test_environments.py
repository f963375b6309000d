"""What the benchmark does to the environments of those that it compares."""

from pathlib import Path

from benchmarks.environments import read_ahead


def test_all_of_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "large").write_bytes(bytes(3_000_000))
    (tmp_path / "small").write_bytes(b"abc")
    (tmp_path / "broken").symlink_to("nowhere")
    assert read_ahead(tmp_path) == 3_000_003
