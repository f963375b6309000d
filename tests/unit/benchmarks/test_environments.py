"""What the benchmark does to the environments of those that it compares."""

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from benchmarks import catalogue
from benchmarks.catalogue import Peer
from benchmarks.environments import read_ahead, versions


def test_all_of_a_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "large").write_bytes(bytes(3_000_000))
    (tmp_path / "small").write_bytes(b"abc")
    (tmp_path / "broken").symlink_to("nowhere")
    assert read_ahead(tmp_path) == 3_000_003


def test_the_versions_are_those_that_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "requirements.txt").write_text("# Needed.\nclick==0.1\nnot-there==1\nuvicorn[standard]>=1\n")
    peer = Peer("some", "some", "some", ())
    assert versions(peer, Path(sys.executable).parent) == [
        f"click=={version('click')}",
        f"uvicorn=={version('uvicorn')}",
    ]
