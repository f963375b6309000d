"""Puts the committed results into the documentation: `python -m benchmarks.publish [--check]`.

A document says where: whatever stands between `<!-- results: NAME -->` and `<!-- end -->` is replaced. So no figure is
typed by hand, and a test can tell whether the documents are those of the results.
"""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from benchmarks import chart, gpu_report, report, results, targets
from benchmarks.catalogue import ROOT
from benchmarks.results import Table

RESULTS: Final = Path(__file__).parent / "results"
DOCUMENTS: Final = ("README.md", "docs/performance.md")
_CHART: Final = "docs/performance.svg"
_PLACE: Final = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MARK: Final = re.compile(r"<!--\s*results")
_NOT_YET: Final = "Not measured yet: there are no results in `benchmarks/results/`.\n"
_NO_GPU: Final = "Not measured: no GPU was there. What runs on one is covered by the tests on the processor alone.\n"


def parts(folder: Path) -> dict[str, str]:
    """Return what can be put into documents, by name."""
    table, others = _table(folder / "comparison.json"), _table(folder / "other-servers.json")
    device = folder / "gpu.json"
    made: Mapping[str, Callable[[Table], str]] = {
        "conditions": report.conditions,
        "targets": lambda known: "\n".join(targets.render(known)),
        "peers": lambda known: "\n".join(report.peers(known)),
        "rows": lambda known: "\n".join(report.rows(known)),
        "limits": lambda known: "\n".join(report.limits(known)),
        "doubts": lambda known: "\n".join(report.remarks(known)) or "None.",
        "summary": lambda known: "\n".join(report.summary(known)),
    }
    found = {name: make(table) + "\n" if table else _NOT_YET for name, make in made.items()}
    found["other-servers"] = (
        f"{report.conditions(others)}\n\n" + "\n".join(report.peers(others)) + "\n" if others else _NOT_YET
    )
    int8 = _table(folder / "int8-processor.json")
    found["int8-processor"] = _run(int8) if int8 else _NOT_YET
    return found | {"gpu": gpu_report.render(device.read_bytes()) if device.exists() else _NO_GPU}


def _run(table: Table) -> str:
    """Return a run on another machine: what was asked, the services, the limits, and what is doubtful."""
    parts = (targets.render(table), report.peers(table), [*report.limits(table), *report.remarks(table)])
    return "\n\n".join([report.conditions(table), *("\n".join(lines) for lines in parts)]) + "\n"


def _table(file: Path) -> Table | None:
    return Table(results.read(file)) if file.exists() else None


def fill(document: str, known: Mapping[str, str]) -> str:
    """Return a document with the parts in their places.

    Raises:
        ValueError: a place names a part that there is not, or is not written as one, and so would stay as it is.
    """
    places = [place[2] for place in _PLACE.finditer(document)]
    if unknown := sorted(set(places) - set(known)):
        msg = f"there are no results of the name {', '.join(unknown)}"
        raise ValueError(msg)
    if len(places) != len(_MARK.findall(document)):
        msg = f"a place for results is not written as one: of these, some are missing: {', '.join(places)}"
        raise ValueError(msg)
    return _PLACE.sub(lambda place: f"{place[1]}\n{known[place[2]]}\n{place[3]}", document)


def main() -> None:
    """Write the documents; with `--check` only say, by the exit code, whether they are fresh."""
    known, stale = parts(RESULTS), []
    wanted = {ROOT / name: fill((ROOT / name).read_text(encoding="utf-8"), known) for name in DOCUMENTS}
    if comparison := _table(RESULTS / "comparison.json"):
        wanted[ROOT / _CHART] = chart.render(comparison)
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv[1:] and stale:
        sys.exit(f"not those of the results: {', '.join(stale)}; run python -m benchmarks.publish")


if __name__ == "__main__":
    main()
