"""`mlapi bulk --ray` says what it cannot do before it loads a model or starts anything."""

import sys
from pathlib import Path

import pytest

from mlapi.offline.base import UsageError
from mlapi.offline.on_ray import Actors, check_room
from mlapi.settings import LAB_BUNDLE
from tests.command_line import mlapi


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--ray-actors", "3"], 2, "--ray-actors is of use with --ray only"),
        (["--ray-cpus", "3"], 2, "--ray-cpus is of use with --ray only"),
        (["--ray", "--shard", "0/2"], 2, "--ray and --shard cannot be given together"),
        (["--ray", "--server", "http://localhost/project"], 2, "--ray and --server cannot be given together"),
        (["--ray", "--ray-actors", "1"], 2, "--ray-actors"),
        (["--ray", "--text-field", "body", "--format", "csv"], 2, "body"),
        (["--ray"], 1, "--ray needs the package ray"),
    ],
)
def test_what_does_not_go_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    source = tmp_path / "in.jsonl"
    source.write_text('{"text":"a"}\n')
    found, said = mlapi({"bundle": str(LAB_BUNDLE)}, "bulk", str(source), str(tmp_path / "out.jsonl"), *arguments)
    assert (found, says in said) == (code, True), said
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_actors_need_room_on_single_nodes() -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 7.0}}, {"Alive": True, "Resources": {}}]
    dead = {"Alive": False, "Resources": {"CPU": 64.0}}
    check_room([*nodes, {"Alive": True, "Resources": {"CPU": 4.0}}, dead], Actors(count=2, cpus=4))
    with pytest.raises(UsageError, match=r"Ray has 7 \+ 0 processors, which is room for 1 actors of 4, not for 2"):
        check_room([*nodes, dead], Actors(count=2, cpus=4))
