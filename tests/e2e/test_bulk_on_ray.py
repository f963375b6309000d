"""`mlapi bulk --ray` on a Ray of its own: the bytes of one process, also when an actor or the whole run is killed."""

import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlapi.settings import LAB_BUNDLE
from tests.offline_runs import lines
from tests.programs import find_bulk_engine
from tests.service_process import eventually, mlapi_environment

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
ROWS = 100_000
WORDS = ("a", "warm", "funny", "dull", "film", "and", "tedious", "good", "not", "bad", "plot", "the", "of", "cast")


def start(*arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [find_bulk_engine("ray"), "-m", "mlapi", "bulk", *map(str, arguments)],
        cwd=ROOT,
        env=mlapi_environment({"MLAPI_BUNDLE": str(LAB_BUNDLE)}) | {"RAY_ADDRESS": "local"} | settings,
        stderr=subprocess.PIPE,
        text=True,
    )


def bulk(*arguments: str | Path, **settings: str) -> tuple[int, str]:
    with start(*arguments, **settings) as process:
        said = process.communicate(timeout=300)[1]
        return process.returncode, said


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose texts repeat others in three of ten rows, with rows that have none."""
    draw = random.Random(19)  # noqa: S311  reproducible, not secret
    new = [" ".join(draw.choices(WORDS, k=draw.choice((3, 9, 25)))) + f" {n}" for n in range(ROWS * 7 // 10)]
    texts = new + draw.choices(new, k=ROWS - len(new))
    draw.shuffle(texts)
    path = tmp_path_factory.mktemp("ray") / "rows.jsonl"
    with path.open("w", encoding="ascii") as file:
        for place, text in enumerate(texts):
            file.write(json.dumps({"id": place, "text": text}) + "\n" if place % 9973 else "{broken\n\n")
    return path


@pytest.fixture(scope="module")
def expected(rows: Path) -> Path:
    """What one process makes of it."""
    path = rows.with_name("expected.jsonl")
    code, said = bulk(rows, path)
    assert code == 3, said
    return path


@pytest.fixture
def output(tmp_path: Path, rows: Path, expected: Path) -> Iterator[Path]:
    """Where a run is to write, which has to become what one process writes."""
    path = tmp_path / "scores.jsonl"
    yield path
    assert path.read_bytes() == expected.read_bytes()
    assert lines(path.with_name("scores.jsonl.errors.jsonl")) == lines(rows.with_name("expected.jsonl.errors.jsonl"))


def part_workers(process: "subprocess.Popen[str]", output: Path) -> list[int]:
    """Return the processes that write parts of an output: they hold its locks."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            held = [str(handle.readlink()) for handle in (folder / "fd").iterdir()] if folder.name.isdigit() else []
        except OSError:
            continue
        if any(re.fullmatch(re.escape(str(output.parent)) + r"/scores-\d+-of-\d+\.jsonl", name) for name in held):
            found.append(int(folder.name))
    assert process.pid not in found
    return found


def begun(output: Path) -> bool:
    """Whether each part has rows."""
    parts = list(output.parent.glob("scores-*-of-*.jsonl.progress"))
    return len(parts) == 2 and all(json.loads(part.read_bytes())["rows"] for part in parts)


def test_two_actors_write_what_one_process_writes(rows: Path, output: Path) -> None:
    code, said = bulk(rows, output, "--ray")
    assert code == 3, said
    assert re.search(rf"mlapi: {ROWS} rows, 100.0%, .* 11 refused", said), said
    # The same command finds all parts done.
    code, said = bulk(rows, output, "--ray")
    assert code == 3, said
    assert "nothing asked" in said


def test_an_actor_that_is_killed_is_started_again(rows: Path, output: Path) -> None:
    with start(rows, output, "--ray") as process:
        eventually(lambda: begun(output), "rows of both parts", timeout_s=60)
        first = part_workers(process, output)
        assert len(first) == 2
        os.kill(first[0], signal.SIGKILL)
        said = process.communicate(timeout=300)[1]
        assert process.returncode == 3, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_is_continued(rows: Path, output: Path, number: signal.Signals) -> None:
    with start(rows, output, "--ray") as process:
        eventually(lambda: begun(output), "rows of both parts", timeout_s=60)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == (143 if number == signal.SIGTERM else -number), said
    assert not output.exists()
    # Ray ends the actors of a run that is gone.
    eventually(lambda: not part_workers(process, output), "the end of the actors", timeout_s=60)
    code, said = bulk(rows, output, "--ray")
    assert code == 3, said


@pytest.mark.parametrize(
    ("arguments", "settings", "end"),
    [
        (["--ray-cpus", "1000"], {}, (2, "room for 0 actors of 1000, not for 2")),
        ([], {"MLAPI_BUNDLE": "/nowhere"}, (2, "/nowhere")),
        ([], {"RAY_ADDRESS": "nonsense"}, (1, "Ray cannot be reached or started")),
        (["--on-error", "fail"], {}, (1, "line ")),
    ],
    ids=["no room", "no model", "no address", "a row without a text"],
)
def test_what_goes_wrong_is_said(
    rows: Path, tmp_path: Path, arguments: list[str], settings: dict[str, str], end: tuple[int, str]
) -> None:
    code, said = bulk(rows, tmp_path / "scores.jsonl", "--ray", *arguments, **settings)
    assert (code, end[1] in said) == (end[0], True), said
    assert "Traceback" not in said
    assert not (tmp_path / "scores.jsonl").exists()
