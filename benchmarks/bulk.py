"""Measures `mlapi bulk`: rows a second, peak memory at two sizes, and what a run writes that is killed over and over.

    python -m benchmarks.bulk --rows 1000000 --kills 20
    python -m benchmarks.bulk --bundle models/distilbert-minilm-sst2 --rows 20000 --kills 5

Three tenths of the rows repeat the text of another one. Prints JSON.
"""

import argparse
import filecmp
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

WORDS: Final = (
    *(
        "a",
        "warm",
        "funny",
        "dull",
        "film",
        "and",
        "tedious",
        "good",
        "not",
        "bad",
        "plot",
        "the",
        "of",
        "cast",
        "story",
    ),
    *("acting", "boring", "great", "slow", "music", "scene", "moving", "never", "always", "its", "with", "for", "but"),
)
_REPEATED: Final = 0.3
_LENGTHS: Final = (3, 6, 9, 14, 25)


def write_rows(path: Path, count: int) -> None:
    """Write `rows` rows; three tenths of them repeat the text of another."""
    source = random.Random(17)  # noqa: S311  reproducible, not secret
    new = round(count * (1 - _REPEATED))
    order = [*range(new), *(source.randrange(new) for _ in range(count - new))]
    source.shuffle(order)
    with path.open("w", encoding="ascii") as file:
        for row, number in enumerate(order):
            words = random.Random(number)  # noqa: S311  as above: the text is a function of its number
            text = " ".join(words.choices(WORDS, k=words.choice(_LENGTHS)))
            file.write(json.dumps({"id": row, "text": f"{text} {number}"}) + "\n")


def begin(source: Path, target: Path, bundle: str) -> "subprocess.Popen[bytes]":
    """Start a run."""
    return subprocess.Popen(  # noqa: S603  this very program
        [sys.executable, "-m", "mlapi", "bulk", str(source), str(target), "--progress", "json"],
        env=os.environ | {"MLAPI_BUNDLE": bundle, "MLAPI_REDIS_URL": ""},
        stderr=subprocess.DEVNULL,
    )


def whole_run(source: Path, target: Path, bundle: str, rows: int) -> dict[str, float]:
    """Return how fast a run is, and how much memory it needs at most."""
    started = time.perf_counter()
    process = begin(source, target, bundle)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        message = f"the run ended with {process.returncode}"
        raise SystemExit(message)
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_s": round(rows / seconds),
        # On a busy machine, what the rows cost says more than how long they took.
        "processor_s": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
    }


def killed_run(source: Path, target: Path, bundle: str, rows: int, kills: int) -> int:
    """Kill a run at random places and continue it, until it ends; return how often it was killed."""
    chance = random.Random()  # noqa: S311  any place will do
    progress = target.with_name(f"{target.name}.progress")
    done = 0
    for place in [*sorted(chance.randrange(rows * 9 // 10) for _ in range(kills)), None]:
        process = begin(source, target, bundle)
        while process.poll() is None and (place is None or _rows(progress) <= place):
            time.sleep(chance.random() / 50)
        if process.poll() is None:
            process.kill()
            done += 1
        elif process.returncode:
            message = f"the run ended with {process.returncode}"
            raise SystemExit(message)
        process.wait()
    return done


def _rows(progress: Path) -> int:
    return int(json.loads(progress.read_bytes())["rows"]) if progress.exists() else 0


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bundle", default="models/tfidf-logreg-sst2", help="the model; default: the small one")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large input; the small has a tenth")
    parser.add_argument("--kills", type=int, default=20, help="how often the last run is killed")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        figures: list[dict[str, float]] = []
        for count in (chosen.rows // 10, chosen.rows):
            source = place / f"{count}.jsonl"
            write_rows(source, count)
            figures.append(whole_run(source, place / f"whole-{count}.jsonl", chosen.bundle, count))
        killed = killed_run(source, place / "killed.jsonl", chosen.bundle, chosen.rows, chosen.kills)
        same = filecmp.cmp(place / f"whole-{chosen.rows}.jsonl", place / "killed.jsonl", shallow=False)
    print(json.dumps({"runs": figures, "killed": killed, "same_bytes": same}, indent=2))  # noqa: T201  its purpose
    sys.exit(0 if same and killed >= chosen.kills else 1)


if __name__ == "__main__":
    main()
